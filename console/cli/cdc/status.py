"""`onpoint cdc status`."""

import asyncio
from dataclasses import asdict, dataclass

import asyncpg

from console.cli import environment
from console.cli.cdc.reach import connect_url, connected
from console.cli.errors import FAILED, SUCCESS
from console.cli.result import print_json
from console.client.cdc import state
from console.client.cdc.connect import Connect, ConnectError, ConnectorState
from console.client.cdc.names import CONNECTOR
from console.client.cdc.source import Table, published
from console.formatting import number, size


@dataclass(frozen=True, slots=True)
class Status:
    connector: ConnectorState
    slot: state.SlotState | None
    captured: list[Table]
    tables: list[state.TableState]

    @property
    def problems(self) -> list[str]:
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
        found += [f"{each.table} is stopped: {each.stopped}" for each in self.tables if each.stopped]
        return found


def status(*, as_json: bool) -> int:
    """The exit code."""
    dsn, url = environment.ledger_dsn(), connect_url()

    async def run() -> Status:
        async with connected(dsn) as connection:
            return await _status(connection, url)

    found = asyncio.run(run())
    if as_json:
        print_json(
            {
                "connector": asdict(found.connector),
                "slot": asdict(found.slot) if found.slot else None,
                "tables": [asdict(each) for each in found.tables],
                "captured": [str(table) for table in found.captured],
                "problems": found.problems,
            }
        )
    else:
        _show(found)
    return FAILED if found.problems else SUCCESS


async def _status(connection: asyncpg.Connection, url: str) -> Status:
    try:
        async with Connect(url) as connect:
            connector = await connect.state(CONNECTOR) or ConnectorState(
                "ABSENT", "`onpoint cdc register` begins"
            )
    except ConnectError as error:
        connector = ConnectorState("UNREACHABLE", str(error))
    return Status(
        connector, await state.slot(connection), await published(connection), await state.tables(connection)
    )


def _show(found: Status) -> None:
    from rich.table import Table as Grid

    from console.cli import screen

    print(f"connector {CONNECTOR}: {found.connector.state.lower()}")
    if found.slot is not None:
        limit = (
            f", {size(found.slot.safe_bytes)} until it is lost" if found.slot.safe_bytes is not None else ""
        )
        print(
            f"slot: {found.slot.wal_status}, {size(found.slot.lag_bytes)} of WAL to read, {size(found.slot.kept_bytes)} kept"
            + limit
        )
    grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("table", "changes", "objects", "size", "offset"):
        grid.add_column(name, justify="left" if name == "table" else "right")
    for each in found.tables:
        grid.add_row(
            each.table, number(each.rows), number(each.objects), size(each.bytes), number(each.read_offset)
        )
    screen.stdout().print(grid)
    for problem in found.problems:
        print(problem)
