"""`onpoint cdc status`."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import asyncpg
from aiokafka.errors import KafkaError

from console.cli import environment
from console.cli.cdc.reach import connect_url, connected
from console.cli.errors import FAILED, SUCCESS
from console.cli.result import print_json
from console.client.cdc import state
from console.client.cdc.connect import Connect, ConnectError, ConnectorState
from console.client.cdc.lag import seconds_behind
from console.client.cdc.source import Table, published
from console.formatting import number, size
from shared.bus.kafka import KafkaClients
from shared.errors import OnPointError
from shared.events.capture import CONNECTOR


@dataclass(frozen=True, slots=True)
class Status:
    """Change capture at one moment."""

    connector: ConnectorState
    slot: state.SlotState | None
    captured: list[Table]
    tables: list[state.TableState]
    lags: dict[str, float] | None
    """Seconds by topic; None: Kafka does not answer."""

    @property
    def problems(self) -> list[str]:
        """What is not as it should be, a sentence each, with what to do."""
        found = []
        if self.connector.state != "RUNNING":
            why = f": {self.connector.why.splitlines()[0]}" if self.connector.why else ""
            found.append(f"the connector is {self.connector.state.lower()}{why}"[:500])
        if self.slot is None:
            found.append(
                "there is no replication slot: changes are lost; `onpoint cdc resnapshot --all` begins anew"
            )
        elif self.slot.wal_status == "lost":
            found.append(
                "the replication slot is lost: its WAL is gone; `onpoint cdc resnapshot --all` begins anew"
            )
        if self.lags is None:
            found.append("Kafka does not answer: how far the lake is behind is not known")
        found += [f"{each.table} is stopped: {each.stopped}" for each in self.tables if each.stopped]
        return found


def status(*, as_json: bool) -> int:
    """Prints how change capture stands; the exit code. Raises `CommandError` where PostgreSQL is away.

    Costs a statement for each of slot, tables and publication, and one record of Kafka for each table that is behind.
    """
    dsn, url, kafka = environment.ledger_dsn(), connect_url(), environment.kafka()

    async def run() -> Status:
        async with connected(dsn) as connection:
            return await _status(connection, url, kafka)

    found = asyncio.run(run())
    if as_json:
        print_json(
            {
                "connector": asdict(found.connector),
                "slot": asdict(found.slot) if found.slot else None,
                "tables": [{**asdict(each), "lag_s": _lag_s(found, each)} for each in found.tables],
                "captured": [str(table) for table in found.captured],
                "problems": found.problems,
            }
        )
    else:
        _show(found)
    return FAILED if found.problems else SUCCESS


async def _status(connection: asyncpg.Connection, url: str, kafka: KafkaClients) -> Status:
    try:
        async with Connect(url) as connect:
            connector = await connect.state(CONNECTOR) or ConnectorState(
                "ABSENT", "`onpoint cdc register` begins"
            )
    except ConnectError as error:
        connector = ConnectorState("UNREACHABLE", str(error))
    tables = await state.tables(connection)
    return Status(
        connector,
        await state.slot(connection),
        await published(connection),
        tables,
        await _lags(kafka, tables),
    )


async def _lags(kafka: KafkaClients, tables: Sequence[state.TableState]) -> dict[str, float] | None:
    try:
        return await seconds_behind(kafka, {each.topic: each.read_offset for each in tables})
    except (KafkaError, OnPointError):
        return None


def _show(found: Status) -> None:
    from rich.table import Table as Grid

    from console.cli import screen

    print(f"connector {CONNECTOR}: {found.connector.state.lower()}")
    if found.slot is not None:
        behind = f" ({found.slot.lag_s:,.1f} s)" if found.slot.lag_s is not None else ""
        reader = "" if found.slot.active else ", without a reader"
        limit = (
            f", {size(found.slot.safe_bytes)} until it is lost" if found.slot.safe_bytes is not None else ""
        )
        print(
            f"slot: {found.slot.wal_status}, {size(found.slot.lag_bytes)} of WAL to read{behind}, "
            f"{size(found.slot.kept_bytes)} kept" + limit + reader
        )
    grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("table", "full load", "changes", "objects", "size", "offset", "behind"):
        grid.add_column(name, justify="left" if name == "table" else "right")
    for each in found.tables:
        grid.add_row(
            each.table,
            _load(each),
            number(each.rows),
            number(each.objects),
            size(each.bytes),
            number(each.read_offset),
            "?" if (lag_s := _lag_s(found, each)) is None else f"{lag_s:,.0f} s",
        )
    screen.stdout().print(grid)
    for problem in found.problems:
        print(problem)


def _lag_s(found: Status, table: state.TableState) -> float | None:
    return None if found.lags is None else found.lags.get(table.topic)


def _load(table: state.TableState) -> str:
    """Rows of the latest full load that are in the lake. Their number is estimated when it begins."""
    if not table.expected_rows:
        return number(table.loaded_rows)
    share = min(1.0, table.loaded_rows / table.expected_rows)
    return f"{number(table.loaded_rows)} of about {number(table.expected_rows)} ({share:.0%})"
