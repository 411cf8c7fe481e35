"""`onpoint cancel`: a mark that every stage looks for before it takes up a batch of the run."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.cli import environment
from console.cli.arguments import requester
from console.cli.errors import FAILED, SUCCESS, CommandError, InterruptedByUserError
from console.cli.options import RunId, require_wait
from console.cli.result import print_json, show
from console.client.cancel import Cancellation, cancel_run, find_run
from console.client.run_request import check_run_id
from console.formatting import duration, one_line
from shared.errors import TransientError

if TYPE_CHECKING:
    from shared.storage.object_store import ObjectStore

EXAMPLES = """\b
Examples:
  onpoint cancel 2026-11-23-daily
  onpoint cancel 2026-11-23-daily --wait

\b
What has arrived stays; no batch is taken up any more. The run ends by its
counts, once, with status cancelled.

\b
Exit codes: 0 it is being cancelled (with --wait: it ended cancelled); 1 there
is no such run, it is over, or it ended otherwise; 2 wrong use; 130 Ctrl-C.
"""


def register(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(cancel)


def cancel(
    run_id: RunId,
    *,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for its end and show the result.")
    ] = False,
    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="S", min=0.1, help="Seconds to wait at most.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: run.completed's value, or who cancelled it.")
    ] = False,
) -> None:
    """Cancel a run that goes on."""
    require_wait(timeout, wait=wait)
    check_run_id(run_id)
    dsn = environment.ledger_dsn()
    staging = environment.staging()
    try:
        if wait:
            completed = asyncio.run(_cancel_and_wait(run_id, dsn, staging, timeout, as_json=as_json))
            show(completed, as_json=as_json)
            raise typer.Exit(SUCCESS if completed.get("status") == "cancelled" else FAILED)
        cancelled = asyncio.run(cancel_run(run_id, dsn, staging, by=requester()))
    except TransientError as error:
        raise CommandError(f"nothing is cancelled: {error}") from error
    except TimeoutError as error:
        raise CommandError(
            f"run {run_id} has not ended within {duration(timeout or 0)}; it is marked as cancelled: "
            f"see `onpoint status {run_id}`"
        ) from error
    except KeyboardInterrupt as error:
        raise InterruptedByUserError(f"run {run_id}: see `onpoint status {run_id}`") from error
    _report(run_id, cancelled, as_json=as_json)


def _report(run_id: str, cancelled: Cancellation, *, as_json: bool) -> None:
    if as_json:
        print_json({"run_id": run_id, **cancelled.mark})
    elif cancelled.is_first and not cancelled.is_taken_up:
        print(
            f"run {run_id} is marked as cancelled: it ends as soon as the crawler takes it up; "
            f"see `onpoint status {run_id}`"
        )
    elif cancelled.is_first:
        print(f"run {run_id} is being cancelled: see `onpoint status {run_id}`")
    else:
        by = one_line(str(cancelled.mark.get("by", "an unknown requester")))
        at = one_line(str(cancelled.mark.get("at", "an unknown time")))
        print(f"run {run_id} was cancelled before, by {by} at {at}: see `onpoint status {run_id}`")


async def _cancel_and_wait(
    run_id: str, dsn: str, staging: "ObjectStore", timeout_s: float | None, *, as_json: bool
) -> dict[str, Any]:
    """The run's `run.completed`."""
    from rich.console import Console

    from console.cli import display
    from console.client.kafka import open_completions
    from console.client.wait import ProgressReader, wait

    async with open_completions(environment.kafka()) as completions:
        await cancel_run(run_id, dsn, staging, by=requester())
        run = await find_run(dsn, run_id)
        if run is not None and run.completed is not None:
            return run.completed  # perhaps published before the end of the topic was looked up
        with display.choose(Console(stderr=True), as_json=as_json) as screen:
            progress = ProgressReader(
                dsn, run_id, run.datasets if run else (), environment.pending_migrations()
            )
            return await wait(completions, run_id, progress, screen.show, timeout_s)
