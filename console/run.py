"""`onpoint run`: ask for a run and, if asked, wait for its end."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from console import environment
from console.asking import ask
from console.errors import WrongUseError
from console.order import (
    Order,
    check_run_id,
    choose_datasets,
    new_run_id,
    parse_formats,
    parse_limits,
    requester,
)
from shared.events.stages import SUPPORTED_FORMATS

EXAMPLES = """\b
Examples:
  onpoint run --wait                       every dataset; show the result
  onpoint run posts users --formats csv    two of them, exported as CSV
  onpoint run stories --limit stories=500  the first 500 records
  onpoint run --run-id 2026-11-23 --wait   asked twice, it is one run
  onpoint run posts --wait --json | jq .status

\b
Exit codes: 0 the run succeeded (without --wait: was asked for); 1 it failed,
was cancelled, is partial, or the time was over; 2 wrong use; 130 Ctrl-C.
"""


def register(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(run)


def run(
    datasets: Annotated[
        list[str] | None,
        typer.Argument(metavar="DATASET", help="What to crawl; everything if absent.", show_default=False),
    ] = None,
    *,
    run_id: Annotated[
        str | None,
        typer.Option("--run-id", metavar="ID", help="Name of the run. The same one twice is one run."),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--formats",
            metavar="F,...",
            help=f"Exports to write: {', '.join(SUPPORTED_FORMATS)}; absent: each dataset's own.",
        ),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="DATASET=N", help="Only the first N records; repeatable."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for the end and show the result.")
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", metavar="S", min=0.1, help="Seconds to wait at most; the run goes on."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: run.completed's value, or the run id without --wait.")
    ] = False,
) -> None:
    """Start a run: crawl datasets, clean them, export, load and store them, check them."""
    if timeout is not None and not wait:
        raise WrongUseError("--timeout is of use only with --wait")
    catalog = environment.catalog()
    chosen = choose_datasets(datasets or [], catalog, catalog.why_refused)
    order = Order(
        run_id=check_run_id(run_id) if run_id is not None else new_run_id(datetime.now(UTC)),
        datasets=chosen,
        requested_by=requester(),
        formats=parse_formats(formats or []),
        limits=parse_limits(limit or [], chosen),
    )
    raise typer.Exit(ask(order, may_exist=run_id is not None, wait=wait, timeout_s=timeout, as_json=as_json))
