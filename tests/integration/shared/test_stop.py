"""A bus that stops on a real broker: handlers finish for a while, and no rebalance holds it longer."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from aiokafka import TopicPartition

from shared.bus import subscriptions
from shared.bus.consumer import GroupConsumer
from shared.bus.messages import Outgoing, Record
from shared.bus.rebalance import DrainListener
from tests.support.bus import Topics, run_drained, running

pytestmark = pytest.mark.integration

DRAIN_S = 1
LATEST_S = 10
"""The drain, leaving the group, and a slow machine. A rebalance waits for minutes."""


@pytest.fixture(autouse=True)
def short_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "DRAIN_S", DRAIN_S)


@pytest.fixture
def revoked(monkeypatch: pytest.MonkeyPatch) -> set[TopicPartition]:
    """The partitions that a rebalance has asked for."""
    found: set[TopicPartition] = set()
    drain = DrainListener.on_partitions_revoked

    async def on_partitions_revoked(listener: DrainListener, partitions: set[TopicPartition]) -> None:
        found.update(partitions)
        await drain(listener, partitions)

    monkeypatch.setattr(DrainListener, "on_partitions_revoked", on_partitions_revoked)
    return found


class StuckHandler:
    """Takes a record and never ends by itself."""

    def __init__(self) -> None:
        self.has_a_record = asyncio.Event()

    async def __call__(self, _: Record) -> Sequence[Outgoing]:
        self.has_a_record.set()
        await asyncio.Future()
        raise AssertionError


@pytest.mark.parametrize("workers", [1, 3])
async def test_a_stop_ends_while_a_rebalance_waits_for_a_stuck_handler(
    topics: Topics, revoked: set[TopicPartition], workers: int
) -> None:
    handler = StuckHandler()
    async with running(topics, handler, workers=workers) as bus:
        await topics.send((0, run_drained("a"), ()))
        await handler.has_a_record.wait()
        async with joining(topics) as other:
            await until_revoked(revoked, TopicPartition(topics.input, 0))
            assert await seconds_to_stop(bus) < LATEST_S
            async with asyncio.timeout(30):
                assert (await other.getone()).value == run_drained("a")


async def test_a_member_stops_while_a_rebalance_waits_for_another_member(
    topics: Topics, revoked: set[TopicPartition]
) -> None:
    handler = StuckHandler()
    async with running(topics, handler) as busy, running(topics, handler) as idle:
        of_busy, of_idle = await input_partition(busy, topics), await input_partition(idle, topics)
        revoked.clear()
        await topics.send((of_busy.partition, run_drained("a"), ()))
        await handler.has_a_record.wait()
        async with joining(topics):
            await until_revoked(revoked, of_idle)
            assert await seconds_to_stop(idle) < LATEST_S


@pytest.mark.parametrize("workers", [1, 3])
async def test_a_handler_that_ends_within_the_drain_commits_its_record(topics: Topics, workers: int) -> None:
    began = asyncio.Event()

    async def handler(_: Record) -> Sequence[Outgoing]:
        began.set()
        await asyncio.sleep(0.6 * DRAIN_S)
        return ()

    async with running(topics, handler, workers=workers):
        await topics.send((0, run_drained("a"), ()))
        await began.wait()
    assert await topics.lag() == 0


async def input_partition(bus: subscriptions.Subscriptions, topics: Topics) -> TopicPartition:
    """The one that this member has once it shares them with another."""
    async with asyncio.timeout(20):
        while True:
            consumers = [subscriber.consumer for subscriber in bus._subscribers]  # noqa: SLF001 - only a test asks
            assigned = [tp for consumer in consumers if consumer for tp in consumer.assignment()]
            found = [tp for tp in assigned if tp.topic == topics.input]
            if len(found) == 1:
                return found[0]
            await asyncio.sleep(0.05)


async def seconds_to_stop(bus: subscriptions.Subscriptions) -> float:
    began_s = time.monotonic()
    async with asyncio.timeout(60):
        await bus.stop()
    return time.monotonic() - began_s


async def until_revoked(revoked: set[TopicPartition], partition: TopicPartition) -> None:
    async with asyncio.timeout(20):
        while partition not in revoked:
            await asyncio.sleep(0.05)


@asynccontextmanager
async def joining(topics: Topics) -> AsyncIterator[GroupConsumer]:
    """A further member of the group. It gets partitions once the other members let go."""
    member = GroupConsumer(
        topics.input,
        denied=lambda *_: None,
        bootstrap_servers=topics.servers,
        group_id=f"onpoint-{topics.service}",
        enable_auto_commit=False,
    )
    started = asyncio.create_task(member.start())
    try:
        yield member
    finally:
        started.cancel()
        await member.stop()
