"""`onpoint cancel`: a mark that every stage looks for before it takes up a batch of the run."""

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.cli import environment
from console.cli.errors import FAILED, SUCCESS, CommandError, InterruptedByUserError, WrongUseError
from console.cli.result import print_json, show
from console.client.ledger import RECENT, RunRow, open_ledger, unknown_run
from console.client.run_request import check_run_id, requester
from console.client.untrusted_json import parse_object
from console.formatting import duration, one_line
from shared.errors import TransientError
from shared.events.times import utc_text
from shared.storage import keys

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
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.", show_default=False)],
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
    if timeout is not None and not wait:
        raise WrongUseError("--timeout is of use only with --wait")
    check_run_id(run_id)
    dsn = environment.ledger_dsn()
    staging = environment.staging()
    try:
        if wait:
            completed = asyncio.run(_cancel_and_follow(run_id, dsn, staging, timeout, as_json=as_json))
            show(completed, as_json=as_json)
            raise typer.Exit(SUCCESS if completed.get("status") == "cancelled" else FAILED)
        mark, is_first, waits = asyncio.run(_cancel(run_id, dsn, staging))
    except TransientError as error:
        raise CommandError(f"nothing is cancelled: {error}") from error
    except TimeoutError as error:
        raise CommandError(
            f"run {run_id} has not ended within {duration(timeout or 0)}; it is marked as cancelled: "
            f"see `onpoint status {run_id}`"
        ) from error
    except KeyboardInterrupt as error:
        raise InterruptedByUserError(f"run {run_id}: see `onpoint status {run_id}`") from error
    if as_json:
        print_json({"run_id": run_id, **mark})
    elif is_first and waits:
        print(
            f"run {run_id} is marked as cancelled: it ends as soon as the crawler takes it up; "
            f"see `onpoint status {run_id}`"
        )
    elif is_first:
        print(f"run {run_id} is being cancelled: see `onpoint status {run_id}`")
    else:
        by, at = one_line(str(mark.get("by", "somebody"))), one_line(str(mark.get("at", "an unknown time")))
        print(f"run {run_id} was cancelled before, by {by} at {at}: see `onpoint status {run_id}`")


async def _cancel_and_follow(
    run_id: str, dsn: str, staging: "ObjectStore", timeout_s: float | None, *, as_json: bool
) -> dict[str, Any]:
    """The run's `run.completed`."""
    from rich.console import Console

    from console.cli import display
    from console.client.kafka import open_completions
    from console.client.wait import Watch, follow

    async with open_completions(environment.kafka()) as ends:
        await _cancel(run_id, dsn, staging)
        run = await _find(dsn, run_id)
        if run is not None and run.completed is not None:
            return run.completed  # it ended while it was looked at, maybe before the end of the topic was
        screen = display.choose(Console(stderr=True), as_json=as_json)
        with screen:
            return await follow(
                ends,
                run_id,
                Watch(dsn, run_id, run.datasets if run else (), environment.migration_watch()),
                screen,
                timeout_s,
            )


async def _cancel(run_id: str, dsn: str, staging: "ObjectStore") -> tuple[dict[str, Any], bool, bool]:
    """The mark, whether this call put it, and whether no service has taken the run up.

    Raises `CommandError` for a run that is not there or over.
    """
    run = await _find(dsn, run_id)
    if run is None and await staging.head(keys.request_key(run_id)) is None:
        raise unknown_run(run_id, await _running(dsn))
    if run is not None and run.status != "running":
        raise CommandError(f"run {run_id} is over ({run.status}): there is nothing left to cancel")
    waits = run is not None and not run.is_taken_up
    mark = {
        "by": requester(),
        "at": utc_text(datetime.now(UTC)),
    }
    if await staging.create(keys.cancel_key(run_id), json.dumps(mark).encode()):
        return mark, True, waits
    return parse_object(await staging.get(keys.cancel_key(run_id))), False, waits


async def _find(dsn: str, run_id: str) -> RunRow | None:
    async with open_ledger(dsn) as ledger:
        return await ledger.run(run_id)


async def _running(dsn: str) -> list[RunRow]:
    async with open_ledger(dsn) as ledger:
        return [run for run in await ledger.runs(RECENT) if run.status == "running"]
