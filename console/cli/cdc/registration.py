"""`onpoint cdc register`, `restart` and `remove`."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import asyncpg

from console.cli import environment
from console.cli.cdc.reach import connect_settings, connect_url, connected
from console.cli.errors import CommandError
from console.client.cdc import source
from console.client.cdc.connect import Connect, ConnectError
from console.client.cdc.names import CONNECTOR, PASSWORD_FILE
from console.client.cdc.register import connector_config

CONNECTOR_FILE = Path(__file__).resolve().parents[3] / "deploy" / "kafka-connect" / "connector.yaml"
START_S = 120.0

_T = TypeVar("_T")


def register(names: Sequence[str], identity: source.Identity, replication: int) -> None:
    dsn, url, kafka = environment.ledger_dsn(), connect_url(), environment.bootstrap_servers()
    secrets_dir = connect_settings().cdc_secrets_dir
    password = _password(Path(secrets_dir) / PASSWORD_FILE)

    async def do(connection: asyncpg.Connection) -> None:
        tables = await source.find_tables(connection, names)
        if not tables:
            raise CommandError("there is no table to capture yet: `onpoint migrate` makes those of datasets")
        for line in await source.prepare(connection, tables, identity, password):
            print(f"made {line}")
        wanted = connector_config(
            CONNECTOR_FILE,
            dsn=dsn,
            tables=tables,
            kafka=kafka,
            secrets_dir=secrets_dir,
            replication=replication,
        )
        async with Connect(url) as connect:
            if await connect.config(CONNECTOR) != {**wanted, "name": CONNECTOR}:
                await connect.put(CONNECTOR, wanted)
                print(f"configured {CONNECTOR}")
            await connect.resume(CONNECTOR)
            await connect.until(CONNECTOR, "RUNNING", START_S)
        print(f"{CONNECTOR} runs: changes of {len(tables)} tables go to the lake")

    _on_database(dsn, do)


def restart() -> None:
    async def do() -> None:
        async with Connect(connect_url()) as connect:
            if not await connect.restart(CONNECTOR):
                raise CommandError("nothing is registered: `onpoint cdc register` begins")
            await connect.until(CONNECTOR, "RUNNING", START_S)
        print(f"{CONNECTOR} runs")

    _run(do())


def remove() -> None:
    async def do(connection: asyncpg.Connection) -> None:
        async with Connect(connect_url()) as connect:
            if await connect.config(CONNECTOR) is not None:
                await connect.stop(CONNECTOR)
                await connect.forget(CONNECTOR)
                await connect.delete(CONNECTOR)
                print(f"removed {CONNECTOR}")
        for line in await source.withdraw(connection):
            print(f"removed {line}")

    _on_database(environment.ledger_dsn(), do)


def _on_database(dsn: str, do: Callable[[asyncpg.Connection], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        async with connected(dsn) as connection:
            return await do(connection)

    return _run(run())


def _run(work: Awaitable[_T]) -> _T:
    async def run() -> _T:
        return await work

    try:
        return asyncio.run(run())
    except ConnectError as error:
        raise CommandError(str(error)) from error


def _password(file: Path) -> str | None:
    """None where this machine does not have the secret."""
    try:
        return file.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
