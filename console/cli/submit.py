"""Submits a run and, if wanted, waits for its end and shows the result."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

from console.cli import environment
from console.cli.errors import SUCCESS, CommandError, InterruptedByUserError
from console.cli.result import show
from console.client.run_request import RunRequest
from console.client.submit import find_submitted, submit
from console.formatting import duration, listed

if TYPE_CHECKING:
    from rich.console import Console

    from shared.bus.kafka import KafkaClients


def submit_and_report(
    request: RunRequest, *, may_exist: bool, wait: bool, timeout_s: float | None, as_json: bool
) -> int:
    """Returns the exit code: without `wait`, 0 means that the run was requested.

    `may_exist`: the id was given, so an earlier request may have it.
    """
    kafka = environment.kafka()
    if wait:
        completed = _submit_and_wait(
            request, kafka, may_exist=may_exist, as_json=as_json, timeout_s=timeout_s
        )
        return show(completed, as_json=as_json)
    dsn = environment.postgres_dsn() if may_exist else None
    before = asyncio.run(submit(request, kafka, dsn, may_exist=may_exist))
    if as_json:
        print(json.dumps({"run_id": request.run_id}))
        return SUCCESS
    if before is None:
        print(f"asked for run {request.run_id}: {listed(request.datasets)}")
    else:
        state = "goes on" if before.status == "running" else "is over"
        print(f"run {request.run_id} was asked for before and {state}: {listed(request.datasets)}")
    print(f"follow it with `onpoint status {request.run_id}`")
    return SUCCESS


def _submit_and_wait(
    request: RunRequest, kafka: "KafkaClients", *, may_exist: bool, as_json: bool, timeout_s: float | None
) -> dict[str, Any]:
    """The run's `run.completed`; what ends the wait before it becomes a sentence."""
    from rich.console import Console

    console = Console(stderr=True)
    submitted = asyncio.Event()
    try:
        return asyncio.run(_follow(request, kafka, console, submitted, may_exist, as_json, timeout_s))
    except KeyboardInterrupt as error:
        state = "goes on" if submitted.is_set() else "may have been asked for"
        raise InterruptedByUserError(
            f"run {request.run_id} {state}: see `onpoint status {request.run_id}`"
        ) from error
    except TimeoutError as error:
        raise CommandError(
            f"run {request.run_id} is not done after {duration(timeout_s or 0)}; it goes on: "
            f"see `onpoint status {request.run_id}`"
        ) from error


async def _follow(
    request: RunRequest,
    kafka: "KafkaClients",
    console: "Console",
    submitted: asyncio.Event,
    may_exist: bool,
    as_json: bool,
    timeout_s: float | None,
) -> dict[str, Any]:
    from console.cli import display
    from console.client.kafka import open_completions, publish_request
    from console.client.wait import ProgressReader, wait

    dsn = environment.postgres_dsn()
    async with open_completions(kafka) as completions:
        before = await find_submitted(request, dsn) if may_exist else None
        if before is not None and before.completed is not None:
            # Its one `run.completed` was published before, and never comes again.
            console.print(
                f"run {request.run_id} was asked for before and is over: this is its result", highlight=False
            )
            return before.completed
        await publish_request(kafka, request.run_id, request.value())
        submitted.set()
        with display.choose(console, as_json=as_json) as screen:
            progress = ProgressReader(dsn, request.run_id, request.datasets, environment.pending_migrations())
            return await wait(completions, request.run_id, progress, screen.show, timeout_s)
