"""`onpoint run`: request a run and, with `--wait`, wait for its end."""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from console.cli import environment
from console.cli.arguments import choose_datasets, parse_formats, parse_limits, parse_params, requester
from console.cli.errors import CommandError, WrongUseError
from console.cli.options import ResultAsJson, Timeout, Wait, require_wait
from console.cli.submit import submit_and_report
from console.client.run_request import RunRequest, check_run_id, new_run_id
from shared.events.names import SUPPORTED_FORMATS

if TYPE_CHECKING:
    from shared.datasets.catalog import Catalog

EXAMPLES = """\b
Examples:
  onpoint run posts --wait                 one dataset; show the result
  onpoint run --all --wait                 every dataset
  onpoint run posts users --formats csv    two of them, exported as CSV
  onpoint run stories --limit stories=500  the first 500 records
  onpoint run orders --since 2026-01-01    what changed from then on
  onpoint run --all --run-id 2026-11-23    asked twice, it is one run
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
        typer.Argument(metavar="DATASET", help="What to crawl, see `onpoint datasets`.", show_default=False),
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Crawl every dataset.")] = False,
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
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Records from there on: 2026-01-31, a time, a number."),
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Records before it.")] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Everything again, also what earlier runs brought.")
    ] = False,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="DATASET.NAME=VALUE", help="A parameter of a dataset; repeatable."),
    ] = None,
    wait: Wait = False,
    timeout: Timeout = None,
    as_json: ResultAsJson = False,
) -> None:
    """Start a run: crawl datasets, clean them, export, load and store them, check them."""
    require_wait(timeout, wait=wait)
    if datasets and everything:
        raise WrongUseError("name datasets or write --all, not both")
    named = check_run_id(run_id) if run_id is not None else new_run_id(datetime.now(UTC))
    wanted = parse_formats(formats or [])
    environment.require_same_datasets(datasets or ())
    catalog = environment.catalog()
    chosen = (
        choose_datasets(datasets, catalog, catalog.why_refused)
        if datasets
        else _all_datasets(tuple(catalog), sure=everything)
    )
    request = RunRequest(
        run_id=named,
        datasets=chosen,
        requested_by=requester(),
        formats=wanted,
        limits=parse_limits(limit or [], chosen),
        since=since,
        until=until,
        full=full,
        incremental=_incremental(chosen, catalog, asked=bool(since or until or full)),
        params=parse_params(param or [], chosen),
    )
    raise typer.Exit(
        submit_and_report(
            request, may_exist=run_id is not None, wait=wait, timeout_s=timeout, as_json=as_json
        )
    )


def _incremental(chosen: tuple[str, ...], catalog: "Catalog", *, asked: bool) -> tuple[str, ...]:
    """The datasets that --since, --until and --full are for. Raises `WrongUseError` where there is none."""
    if not asked:
        return ()
    found = tuple(name for name in chosen if getattr(catalog[name].source, "incremental", None) is not None)
    if not found:
        raise WrongUseError(
            "--since, --until and --full are for incremental datasets, and none of these has `incremental` in its file"
        )
    return found


def _all_datasets(known: tuple[str, ...], *, sure: bool) -> tuple[str, ...]:
    """Every dataset. Without --all it asks on a terminal, and raises `WrongUseError` elsewhere."""
    environment.bootstrap_servers()  # raises before the question: without brokers no run can start
    if not sure:
        what = f"all {len(known)} datasets"
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise WrongUseError(
                f"which datasets? Name some, as in `onpoint run {known[0]}`, or write --all for {what}; "
                "`onpoint datasets` lists them"
            )
        if not typer.confirm(f"crawl {what}?", err=True):
            raise CommandError("nothing was asked for")
    return known
