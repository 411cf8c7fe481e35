"""Asks for a run and, if wanted, waits for its end."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

from console import environment
from console.errors import SUCCESS, CommandError, InterruptedByUserError
from console.order import Order
from console.result import show
from console.words import duration, listed

if TYPE_CHECKING:
    from rich.console import Console

    from shared.bus.kafka import KafkaClients


def ask(order: Order, *, may_exist: bool, wait: bool, timeout_s: float | None, as_json: bool) -> int:
    """Returns the exit code: without `wait`, 0 says that the run was asked for.

    `may_exist`: somebody may have asked for it before, so that its end may be behind us.
    """
    kafka = environment.kafka()
    if wait:
        completed = _ask_and_wait(order, kafka, may_exist=may_exist, as_json=as_json, timeout_s=timeout_s)
        return show(completed, as_json=as_json)
    from console.client import publish_request

    asyncio.run(publish_request(kafka, order.run_id, order.value()))
    if as_json:
        print(json.dumps({"run_id": order.run_id}))
    else:
        print(f"asked for run {order.run_id}: {listed(order.datasets)}")
        print(f"follow it with `onpoint status {order.run_id}`")
    return SUCCESS


def _ask_and_wait(
    order: Order, kafka: "KafkaClients", *, may_exist: bool, as_json: bool, timeout_s: float | None
) -> dict[str, Any]:
    """The run's `run.completed`; what ends the wait before it becomes a sentence."""
    from rich.console import Console

    console = Console(stderr=True)
    asked = asyncio.Event()
    try:
        return asyncio.run(_ask_and_follow(order, kafka, console, asked, may_exist, as_json, timeout_s))
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
    kafka: "KafkaClients",
    console: "Console",
    asked: asyncio.Event,
    may_exist: bool,
    as_json: bool,
    timeout_s: float | None,
) -> dict[str, Any]:
    from console import display
    from console.client import open_completions, publish_request
    from console.follow import Watch, follow

    dsn = environment.postgres_dsn()
    async with open_completions(kafka) as ends:
        if may_exist and (earlier := await _earlier_result(dsn, order.run_id)) is not None:
            # Its one `run.completed` is behind us and never comes again.
            console.print(
                f"run {order.run_id} was asked for before and is over: this is its result", highlight=False
            )
            return earlier
        await publish_request(kafka, order.run_id, order.value())
        asked.set()
        with display.choose(console, as_json=as_json) as screen:
            return await follow(
                ends,
                order.run_id,
                Watch(dsn, order.run_id, order.datasets, environment.migration_watch()),
                screen,
                timeout_s,
            )


async def _earlier_result(dsn: str | None, run_id: str) -> dict[str, Any] | None:
    from console.ledger import LedgerUnavailableError, open_ledger

    if dsn is None:
        return None
    try:
        async with open_ledger(dsn) as ledger:
            run = await ledger.run(run_id)
    except LedgerUnavailableError:
        return None  # Kafka alone is enough for a run that is new
    return run.completed if run else None
