"""`onpoint datasets profile`: what the values of a dataset are like."""

import asyncio
import math
import sys
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from console.cli import environment, screen
from console.cli.errors import CommandError, WrongUseError
from console.cli.options import ObjectAsJson
from console.cli.result import print_json
from console.formatting import one_line
from shared.events.ids import is_dataset_name, is_run_id

if TYPE_CHECKING:
    from console.profile.lake import Profile
    from console.profile.sketch import ColumnSketch

EXAMPLES = """\b
Examples:
  onpoint datasets profile posts
  onpoint datasets profile posts --run 2026-11-23-daily
  onpoint datasets profile posts --html posts.html
  onpoint datasets profile posts --json | jq '.columns[] | select(.nulls > 0)'

\b
The rows are those of the lake: of a run, or of all runs that it lists, so that
a record of three runs counts three times. Memory does not grow with the rows.
Up to 4,096 distinct values are counted exactly and more are estimated (~),
quantiles of more rows are those of a sample: both about 2 % off. The least
and the most value are exact; of a text its first 200 characters.

\b
Exit codes: 0 shown; 1 there are no rows, or a server does not answer;
2 wrong use.
"""

SHOWN_CHARS = 24


def profile(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Its name.", show_default=False)],
    *,
    run_id: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="Only the rows of this run.")
    ] = None,
    as_json: ObjectAsJson = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page that needs nothing else.")
    ] = None,
) -> None:
    """Show counts, nulls, distinct values, bounds, quantiles and examples of each column."""
    if not is_dataset_name(dataset):
        raise WrongUseError(f"{one_line(dataset)} cannot be the name of a dataset")
    if run_id is not None and not is_run_id(run_id):
        raise WrongUseError(f"{one_line(run_id)} cannot be the id of a run")
    found = asyncio.run(_read(dataset, run_id))
    if not found.rows:
        of_run = f" of run {run_id}" if run_id else ""
        raise CommandError(f"the lake has no rows of {dataset}{of_run}")
    described = document(found)
    if html is not None:
        from console.cli.profile_page import page

        html.write_text(page(described), encoding="utf-8")
        print(f"written: {html}")
    elif as_json:
        print_json(described)
    else:
        screen.stdout().print(render(described), highlight=False)


async def _read(dataset: str, run_id: str | None) -> "Profile":
    """On the cluster where one is set and there, else here."""
    from console.profile.lake import profile as read
    from shared.dask.errors import ClusterAwayError
    from shared.settings.dask import DaskSettings

    lake, dask = environment.lake(), environment.settings(DaskSettings)
    if dask.dask_scheduler_address is not None and find_spec("distributed") is not None:
        from console.profile.cluster import profile_on_cluster

        try:
            return await profile_on_cluster(dask, lake, dataset, run_id)
        except ClusterAwayError as error:
            sys.stderr.write(f"onpoint: {error}; this command reads the lake itself\n")
    return await read(lake, dataset, run_id)


def document(found: "Profile") -> dict[str, Any]:
    """For programs."""
    return {
        "dataset": found.dataset,
        "run_id": found.run_id,
        "rows": found.rows,
        "objects": found.objects,
        "columns": [_column(column) for column in found.columns.values()],
    }


def render(described: dict[str, Any]) -> Table:
    """For people: every text on one line, without what a terminal would obey."""
    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="dim",
        caption=f"{described['rows']:,} rows in {described['objects']:,} objects of the lake",
        caption_justify="left",
    )
    table.add_column("column", no_wrap=True)
    table.add_column("type", no_wrap=True)
    table.add_column("nulls", justify="right")
    table.add_column("distinct", justify="right")
    for heading in ("least", "5 %", "median", "95 %", "most", "examples"):
        table.add_column(heading, no_wrap=heading != "examples")
    for column in described["columns"]:
        quantiles = column["quantiles"]
        table.add_row(
            one_line(column["name"]),
            one_line(column["type"]),
            share(column),
            distinct(column),
            *(
                shown(value)
                for value in (
                    column["min"],
                    quantiles.get("0.05"),
                    quantiles.get("0.5"),
                    quantiles.get("0.95"),
                )
            ),
            shown(column["max"]),
            ", ".join(shown(value) for value in column["examples"]),
        )
    return table


def share(column: dict[str, Any]) -> str:
    """The nulls of a column, with their share."""
    return f"{column['nulls']:,} ({100 * column['nulls'] / column['rows']:.1f} %)" if column["nulls"] else "0"


def distinct(column: dict[str, Any]) -> str:
    if column["distinct"] is None:
        return "-"
    return f"{'' if column['distinct_is_exact'] else '~'}{column['distinct']:,}"


def shown(value: Any) -> str:
    """A value in a cell; empty: there is none."""
    text = "" if value is None else one_line(str(value))
    return text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 1]}…"


def _column(column: "ColumnSketch") -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.type,
        "rows": column.rows,
        "nulls": column.nulls,
        "distinct": column.distinct(),
        "distinct_is_exact": column.distinct_is_exact,
        "min": _plain(column.least),
        "max": _plain(column.most),
        "quantiles": {f"{share:g}": _plain(value) for share, value in column.quantiles().items()},
        "examples": [_plain(value) for value in column.examples()],
    }


def _plain(value: Any) -> Any:
    """As JSON has it: exact numbers beyond its own and times are texts."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal | timedelta) or (isinstance(value, float) and not math.isfinite(value)):
        return str(value)
    return value
