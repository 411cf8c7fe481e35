"""`onpoint health`: measures the pipeline now, as quality does on its schedule."""

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from console.cli import environment
from console.cli.errors import FAILED, SUCCESS
from console.cli.options import ObjectAsJson
from console.cli.result import escaped
from console.formatting import moment, one_line

if TYPE_CHECKING:
    from rich.table import Table

    from shared.health.model import HealthReport, Reading

EXAMPLES = """\b
Examples:
  onpoint health
  onpoint health --json | jq '.checks[] | select(.status != "HEALTHY")'

\b
HEALTHY; WARNING, a limit is passed; STALE, rows are older than their file
allows; NO_DATA, there is none; FAILED. Since when is what quality has seen.
The services are asked at ONPOINT_HEALTH_SERVICES.

\b
Exit codes: 0 healthy; 1 something is not; 2 wrong use.
"""

STYLE = {
    "HEALTHY": "green",
    "WARNING": "yellow",
    "STALE": "yellow",
    "NO_DATA": "yellow",
    "FAILED": "bold red",
}


def register(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(health)


def health(*, as_json: ObjectAsJson = False) -> None:
    """Measure the database, freshness, latency, errors and machines, and tell what is not well."""
    report = asyncio.run(_measure(environment.ledger_dsn()))
    if as_json:
        print(escaped(report.model_dump_json(indent=2)))
    else:
        show(report)
    raise typer.Exit(SUCCESS if report.status == "HEALTHY" else FAILED)


async def _measure(dsn: str) -> "HealthReport":
    import structlog

    from console.client import postgres
    from shared.errors import OnPointError
    from shared.health.history import with_since
    from shared.health.measure import HealthMeter
    from shared.health.settings import HealthSettings
    from shared.health.store import read_states

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    settings = environment.settings(HealthSettings)
    # Without a first connection: a database that is away is a result here.
    async with postgres.pool(
        dsn, timeout_s=3 * settings.health_answer_s, opened=0, is_read_only=True
    ) as pool:
        report = await HealthMeter(pool, settings, environment.catalog()).measure()
        try:
            return with_since(report, await read_states(pool))
        except OnPointError:
            return report


def show(report: "HealthReport") -> None:
    from rich.table import Table
    from rich.text import Text

    from console.cli import screen

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("check", "status", "since", "values"):
        table.add_column(heading, no_wrap=heading != "values", overflow="fold")
    for check in report.checks:
        since = "" if check.since is None else moment(check.since)
        table.add_row(Text(check.name, "bold"), Text(check.status, STYLE[check.status]), since, "")
        _add_rows(table, check.readings)
    console = screen.stdout()
    console.print(table, highlight=False)
    console.print(Text.assemble("\nthe pipeline is ", (report.status, STYLE[report.status])))


def _add_rows(table: "Table", readings: "Sequence[Reading]") -> None:
    """Values of one thing are in one line: `loader p50` and `loader p95` in that of the loader."""
    from rich.text import Text

    from shared.health.model import LEVEL
    from shared.health.text import value_text

    groups: dict[str, list[Reading]] = {}
    for reading in readings:
        groups.setdefault(reading.item.rpartition(" ")[0] or reading.item, []).append(reading)
    for name, group in groups.items():
        bad = max(group, key=lambda reading: LEVEL[reading.status])
        values = [
            f"{reading.item.removeprefix(name).strip()} {one_line(value_text(reading))}".strip()
            for reading in group
        ]
        since = "" if bad.since is None or bad.status == "HEALTHY" else moment(bad.since)
        table.add_row(f"  {one_line(name)}", Text(bad.status, STYLE[bad.status]), since, "; ".join(values))
