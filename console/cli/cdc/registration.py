"""`onpoint cdc register`, `restart` and `remove`."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import asyncpg

from console.cli import environment
from console.cli.cdc.reach import (
    connect_settings,
    connect_url,
    connected,
    connected_as_role,
    password_file,
    read_password,
)
from console.cli.errors import CommandError, WrongUseError
from console.client.cdc import signals, source, state
from console.client.cdc.connect import Connect, ConnectError
from console.client.cdc.register import connector_config
from shared.bus.kafka import KafkaClients
from shared.events.capture import CONNECTOR
from shared.settings.kafka import KafkaSettings

CONNECTOR_FILE = Path(__file__).resolve().parents[3] / "deploy" / "kafka-connect" / "connector.yaml"
START_S = 120.0
OLD_FAILURE_S = 10.0
"""Workers tell of a restart by a topic: until then the failure before it is the state."""

_T = TypeVar("_T")


def register(names: Sequence[str], identity: source.Identity, replication: int) -> None:
    """Begins to capture the tables of these names, all `onpoint_*` where there are none; tells what it made. Idempotent.

    Raises `WrongUseError` for an installation without Kafka Connect, `ConfigurationError` for a table or a role that is not
    there, `CommandError` where a server is away or refuses, or the connector does not run within two minutes.
    """
    dsn, url, kafka = environment.ledger_dsn(), connect_url(), environment.kafka()
    secrets_dir, kafka_settings = connect_settings().cdc_secrets_dir, environment.settings(KafkaSettings)
    password = read_password(password_file())

    async def do(connection: asyncpg.Connection) -> None:
        tables = await source.find_tables(connection, names)
        if not tables:
            raise CommandError("there is no table to capture yet: `onpoint migrate` makes those of datasets")
        before = await source.published(connection)
        named = (
            set(await source.find_tables(connection, names)) - set(before)
            if not names
            else source.named(names)
        )
        identities = {table: identity for table in tables if table in named}
        for line in await source.prepare(connection, tables, identities, password):
            print(f"made {line}")
        await signals.make_signals_topic(kafka, replication)
        wanted = connector_config(
            CONNECTOR_FILE,
            dsn=dsn,
            tables=tables,
            kafka=kafka_settings,
            secrets_dir=secrets_dir,
            replication=replication,
        )
        async with Connect(url) as connect:
            present = await connect.config(CONNECTOR)
            new = [table for table in tables if present is None or table not in before]
            await signals.mark_anew(kafka, new, await source.current_lsn(connection))
            if present != {**wanted, "name": CONNECTOR}:
                await connect.put(CONNECTOR, wanted)
                print(f"configured {CONNECTOR}")
            await connect.resume(CONNECTOR)
            await connect.until(CONNECTOR, "RUNNING", START_S, patience_s=OLD_FAILURE_S)
            if present is not None:
                await load(connection, kafka, new)
        print(f"{CONNECTOR} runs: changes of {len(tables)} tables go to the lake")

    _on_database(dsn, do)


async def load(connection: asyncpg.Connection, kafka: KafkaClients, tables: Sequence[source.Table]) -> None:
    """Asks the running connector for a full load of tables. Those without a key cannot be loaded beside changes."""
    keyless = await source.keyless(connection, tables)
    keyed = [table for table in tables if table not in keyless]
    for some, blocking in ((keyed, False), (keyless, True)):
        if some:
            await signals.ask_for_load(kafka, some, blocking=blocking)
            print(f"asked for a full load of {', '.join(map(str, some))}")


def resnapshot(name: str | None) -> None:
    """Loads one table anew beside its changes, or all with a new slot where there is no name.

    Returns when the load was asked for: `onpoint cdc verify` tells when it is whole. Raises as `register`.
    """
    dsn, url, kafka = environment.ledger_dsn(), connect_url(), environment.kafka()

    async def do(connection: asyncpg.Connection) -> None:
        captured = await source.published(connection)
        chosen = captured if name is None else [choose(name, captured)]
        async with Connect(url) as connect:
            if await connect.config(CONNECTOR) is None:
                raise CommandError("nothing is registered: `onpoint cdc register` begins")
            slot = await state.slot(connection)
            if name is not None and (slot is None or slot.wal_status == "lost"):
                raise CommandError(
                    "the replication slot is gone, so changes of every table are: `onpoint cdc resnapshot --all`"
                )
            if name is None:
                await connect.stop(CONNECTOR)
                await connect.forget(CONNECTOR)
                await source.drop_slot(connection, partial(connected_as_role, dsn, password_file()))
            await signals.mark_anew(kafka, chosen, await source.current_lsn(connection))
            await state.go_on(connection, chosen)
            if name is None:
                await connect.resume(CONNECTOR)
            await connect.until(CONNECTOR, "RUNNING", START_S, patience_s=OLD_FAILURE_S)
            if name is not None:
                await load(connection, kafka, chosen)
        print(f"{len(chosen)} tables are loaded anew: `onpoint cdc verify` tells when they are whole")

    _on_database(dsn, do)


def choose(name: str, known: Sequence[source.Table]) -> source.Table:
    """The table of that name. Raises `WrongUseError` where it is not captured."""
    schema, _, table = name.rpartition(".")
    wanted = source.Table(schema or "public", table)
    if wanted not in known:
        there = ", ".join(map(str, known)) or "none"
        raise WrongUseError(f"{wanted} is not captured (captured: {there})")
    return wanted


def restart() -> None:
    """Starts the connector and its task again; returns when it runs. Raises `CommandError`."""

    async def do() -> None:
        async with Connect(connect_url()) as connect:
            if not await connect.restart(CONNECTOR):
                raise CommandError("nothing is registered: `onpoint cdc register` begins")
            await connect.until(CONNECTOR, "RUNNING", START_S, patience_s=OLD_FAILURE_S)
        print(f"{CONNECTOR} runs")

    _run(do())


def remove() -> None:
    """Ends change capture. Idempotent. Raises `CommandError` where a server is away or refuses."""
    dsn = environment.ledger_dsn()

    async def do(connection: asyncpg.Connection) -> None:
        async with Connect(connect_url()) as connect:
            if await connect.config(CONNECTOR) is not None:
                await connect.stop(CONNECTOR)
                await connect.forget(CONNECTOR)
                await connect.delete(CONNECTOR)
                print(f"removed {CONNECTOR}")
        for line in await source.withdraw(connection, partial(connected_as_role, dsn, password_file())):
            print(f"removed {line}")

    _on_database(dsn, do)


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
