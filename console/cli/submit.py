"""Asks for a run and, if wanted, waits for its end."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

from console.cli import environment
from console.cli.errors import SUCCESS, CommandError, InterruptedByUserError, WrongUseError
from console.cli.result import show
from console.client.run_request import Order
from console.formatting import duration, listed

if TYPE_CHECKING:
    from rich.console import Console

    from console.client.ledger import RunRow
    from shared.bus.kafka import KafkaClients


def ask(order: Order, *, may_exist: bool, wait: bool, timeout_s: float | None, as_json: bool) -> int:
    """Returns the exit code: without `wait`, 0 says that the run was asked for.

    `may_exist`: somebody may have asked for it before, so that its end may be behind us.
    """
    kafka = environment.kafka()
    if wait:
        completed = _ask_and_wait(order, kafka, may_exist=may_exist, as_json=as_json, timeout_s=timeout_s)
        return show(completed, as_json=as_json)
    before = asyncio.run(_ask(order, kafka, may_exist=may_exist))
    if as_json:
        print(json.dumps({"run_id": order.run_id}))
        return SUCCESS
    if before is None:
        print(f"asked for run {order.run_id}: {listed(order.datasets)}")
    else:
        state = "goes on" if before.status == "running" else "is over"
        print(f"run {order.run_id} was asked for before and {state}: {listed(order.datasets)}")
    print(f"follow it with `onpoint status {order.run_id}`")
    return SUCCESS


async def _ask(order: Order, kafka: "KafkaClients", *, may_exist: bool) -> "RunRow | None":
    """The run as the ledger knew it before; None: it is new. What is over is not asked for again."""
    from console.client.kafka import publish_request

    before = await _run_before(environment.postgres_dsn(), order) if may_exist else None
    if before is None or before.completed is None:
        await publish_request(kafka, order.run_id, order.value())
    return before


def refuse_another(order: Order, before: "RunRow") -> None:
    """Raises `WrongUseError` where the run of this id is another than the one ordered: an id names one run for ever."""
    if before.requested_by is None and before.completed is None:
        return  # the ledger has results of it, and not yet what was asked for
    if before.replay_of is not None and before.replay_of != order.replay_of:
        raise WrongUseError(f"run {order.run_id} is a replay of {before.replay_of}; choose another id")
    if before.datasets and set(before.datasets) != set(order.datasets):
        raise WrongUseError(f"run {order.run_id} is of {listed(before.datasets)}; choose another id")
    # A request that no service has taken up is listed without the run that it replays.
    if before.is_taken_up and before.replay_of != order.replay_of:
        raise WrongUseError(f"run {order.run_id} is no replay of {order.replay_of}; choose another id")


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
    from console.cli import display
    from console.client.kafka import open_completions, publish_request
    from console.client.wait import Watch, follow

    dsn = environment.postgres_dsn()
    async with open_completions(kafka) as ends:
        before = await _run_before(dsn, order) if may_exist else None
        if before is not None and before.completed is not None:
            # Its one `run.completed` is behind us and never comes again.
            console.print(
                f"run {order.run_id} was asked for before and is over: this is its result", highlight=False
            )
            return before.completed
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


async def _run_before(dsn: str | None, order: Order) -> "RunRow | None":
    """The run of this id, if the ledger knows one. Raises `WrongUseError` where it is another."""
    from console.client.ledger import LedgerUnavailableError, open_ledger

    if dsn is None:
        return None
    try:
        async with open_ledger(dsn) as ledger:
            run = await ledger.run(order.run_id)
    except LedgerUnavailableError:
        return None  # Kafka alone is enough for a run that is new
    if run is not None:
        refuse_another(order, run)
    return run
