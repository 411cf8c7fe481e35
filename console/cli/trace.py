"""`onpoint trace`: a row's way back to the request that brought it, and forward to what holds it."""

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from console.cli import environment
from console.cli.errors import FAILED, CommandError, WrongUseError
from console.cli.options import ObjectAsJson
from console.cli.result import print_json
from console.formatting import did_you_mean
from shared.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from console.client.trace.model import Trace
    from console.client.trace.tracing import Scope
    from shared.datasets.model import Dataset

EXAMPLES = """\b
Examples:
  onpoint trace posts 5
  onpoint trace orders id=5,region=eu
  onpoint trace posts 5 --run 2026-11-23-daily
  onpoint trace posts --position 2026-11-23-daily:41
  onpoint trace posts 5 --json | jq -r '.rows[0].request.url'

\b
Shows every row with the key, the newest first: the one in the table, those
that it superseded, as far as the lake has them, and refused ones whose record
has the key. Of each: its batch and run, the request that brought it, the
record as it came, and the table, lake objects and exports that hold it.
--position finds a record by its place in a run's crawl, also one that was
left out; `onpoint quarantine --json` has such places.
The latest 2,000 lake objects and 200 files of refused rows are looked
through, or as much of them as is quick; --all looks through the rest. What is
no longer stored is named.

\b
Exit codes: 0 found; 1 there is no such row, or a server does not answer;
2 wrong use.
"""

PROGRESS_FROM = 50
"""Objects from which on a terminal is shown how far the search is."""


def register(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(trace)


def trace(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Of the row.", show_default=False)],
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="KEY", help="Its key: 5, or id=5,region=eu for several columns.", show_default=False
        ),
    ] = None,
    *,
    position: Annotated[
        str | None,
        typer.Option(
            "--position", metavar="RUN:N", help="Its place in a run's crawl, from 0, instead of a key."
        ),
    ] = None,
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="Only rows of this run.")] = None,
    limit: Annotated[
        int,
        typer.Option("--limit", "-n", metavar="N", min=1, max=1_000, help="The most rows that are shown."),
    ] = 10,
    everything: Annotated[
        bool, typer.Option("--all", help="Look through all of the lake and the refused rows.")
    ] = False,
    as_json: ObjectAsJson = False,
) -> None:
    """Show where a row is from and what holds it."""
    if (key is None) == (position is None):
        raise WrongUseError("give a KEY, or --position RUN:N: one of them")
    from console.client.trace.tracing import Scope

    found = _known(dataset)
    scope = Scope(run, limit, everything)
    try:
        result = asyncio.run(_trace(found, key, position, scope))
    except (PermanentError, TransientError) as error:
        raise CommandError(f"the row cannot be traced: {error}") from error
    if as_json:
        from console.client.trace.document import document

        print_json(document(result))
    else:
        from console.cli import screen
        from console.cli.trace_page import render

        console = screen.stdout()
        console.print(render(result), highlight=False, crop=False)
    if not result.rows:
        raise typer.Exit(FAILED)


def _known(name: str) -> "Dataset":
    catalog = environment.catalog()
    if name not in catalog:
        raise WrongUseError(
            f"there is no dataset {name}{did_you_mean(name, catalog) or ': see `onpoint datasets`'}"
        )
    return catalog[name]


async def _trace(dataset: "Dataset", key: str | None, position: str | None, scope: "Scope") -> "Trace":
    from console.client.trace.key import parse_key, parse_place
    from console.client.trace.ledger import open_trace_ledger
    from console.client.trace.tracing import Tracer

    place = None if position is None else parse_place(position)
    wanted = None if key is None else parse_key(dataset, key)
    staging, lake = environment.staging(), environment.lake()
    async with open_trace_ledger(environment.ledger_dsn()) as ledger:
        tracer = Tracer(dataset, ledger, staging, lake, progress=_progress)
        if place is not None:
            return await tracer.by_place(place, scope)
        if wanted is None:
            raise AssertionError("unreachable")
        return await tracer.by_key(wanted, scope)


def _progress(done: int, of: int) -> None:
    """On a terminal's standard error, drawn over itself."""
    if of >= PROGRESS_FROM and sys.stderr.isatty():
        end = "\r\x1b[K" if done == of else ""
        sys.stderr.write(f"\rlooked at {done:,} of {of:,} lake objects{end}")
        sys.stderr.flush()
