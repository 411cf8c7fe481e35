"""`onpoint run`: ask for a run and, if asked, wait for its end."""

import asyncio
import getpass
import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console

from console import display, environment
from console.client import open_completions, publish_request
from console.errors import CommandError, InterruptedByUserError, WrongUseError
from console.follow import Watch, follow
from console.ledger import LedgerUnavailableError, open_ledger
from console.order import (
    FORMATS,
    Order,
    check_run_id,
    choose_datasets,
    new_run_id,
    parse_formats,
    parse_limits,
)
from console.result import show
from console.words import duration, listed
from shared.settings import KafkaSettings

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
        typer.Argument(
            metavar="[DATASET]...", help="What to crawl; everything if absent.", show_default=False
        ),
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
            help=f"Exports to write: {', '.join(FORMATS)}; absent: each dataset's own.",
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
    chosen = choose_datasets(datasets or [], environment.catalog())
    order = Order(
        run_id=check_run_id(run_id) if run_id is not None else new_run_id(datetime.now(UTC)),
        datasets=chosen,
        requested_by=_user(),
        formats=parse_formats(formats or []),
        limits=parse_limits(limit or [], chosen),
    )
    servers = environment.settings(KafkaSettings).kafka_bootstrap_servers
    if wait:
        completed = _run_and_wait(
            order, servers, may_exist=run_id is not None, as_json=as_json, timeout_s=timeout
        )
        raise typer.Exit(show(completed, as_json=as_json))
    asyncio.run(publish_request(servers, order.run_id, order.value()))
    if as_json:
        print(json.dumps({"run_id": order.run_id}))
    else:
        print(f"asked for run {order.run_id}: {listed(order.datasets)}")
        print(f"follow it with `onpoint status {order.run_id}`")


def _run_and_wait(
    order: Order, servers: str, *, may_exist: bool, as_json: bool, timeout_s: float | None
) -> dict[str, Any]:
    """The run's `run.completed`; what ends the wait before it becomes a sentence."""
    console = Console(stderr=True)
    asked = asyncio.Event()
    try:
        return asyncio.run(_ask_and_follow(order, servers, console, asked, may_exist, as_json, timeout_s))
    except KeyboardInterrupt as error:
        state = "goes on" if asked.is_set() else "may have been asked for"
        raise InterruptedByUserError(
            f"run {order.run_id} {state}: see `onpoint status {order.run_id}`"
        ) from error
    except TimeoutError as error:
        raise CommandError(
            f"run {order.run_id} is not done after {duration(timeout_s or 0)}; it goes on: "
            f"see `onpoint status {order.run_id}`"
        ) from error


async def _ask_and_follow(
    order: Order,
    servers: str,
    console: Console,
    asked: asyncio.Event,
    may_exist: bool,
    as_json: bool,
    timeout_s: float | None,
) -> dict[str, Any]:
    dsn = environment.postgres_dsn()
    async with open_completions(servers) as ends:
        if may_exist and (earlier := await _earlier_result(dsn, order.run_id)) is not None:
            # Its one `run.completed` is behind us and never comes again.
            console.print(
                f"run {order.run_id} was asked for before and is over: this is its result", highlight=False
            )
            return earlier
        await publish_request(servers, order.run_id, order.value())
        asked.set()
        with display.choose(console, as_json=as_json) as screen:
            return await follow(
                ends, order.run_id, Watch(dsn, order.run_id, order.datasets), screen, timeout_s
            )


async def _earlier_result(dsn: str | None, run_id: str) -> dict[str, Any] | None:
    if dsn is None:
        return None
    try:
        async with open_ledger(dsn) as ledger:
            run = await ledger.run(run_id)
    except LedgerUnavailableError:
        return None  # Kafka alone is enough for a run that is new
    return run.completed if run else None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "onpoint"  # a container's user need not have a name
