"""The consumer of a group on a real broker: records that Kafka removed before they were read are reported."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from structlog.testing import capture_logs

from shared.bus.consumer import GroupConsumer
from shared.bus.messages import Outgoing, Record
from shared.observability.metrics import REGISTRY
from tests.support.bus import Topics, plain_kafka, run_drained, running

pytestmark = pytest.mark.integration


async def test_records_that_retention_took_before_they_were_read_are_logged_and_counted(
    topics: Topics,
) -> None:
    handled: list[int] = []

    async def handler(record: Record) -> Sequence[Outgoing]:
        handled.append(record.offset)
        return ()

    await topics.send(*((0, run_drained(f"r{number}"), ()) for number in range(2)))
    with capture_logs() as logs:
        async with running(topics, handler):
            await topics.drained(30)
    assert skipped(logs) == [], "a new group begins with the earliest record"

    await topics.send(*((0, run_drained(f"r{number}"), ()) for number in range(2, 8)))
    await delete_before(topics, TopicPartition(topics.input, 0), 5)
    with capture_logs() as logs:
        async with running(topics, handler):
            await topics.drained(30)
    assert handled == [0, 1, 5, 6, 7]
    assert skipped(logs) == [{"topic": topics.input, "offset": 2, "first_offset": 5, "skipped": 3}]
    assert REGISTRY.get_sample_value("onpoint_offset_resets_total", {"topic": topics.input}) == 1


class RebalancedOnce(GroupConsumer):
    """A consumer whose group rebalances just when it has found where its first partition begins."""

    rebalances = 0

    async def seek_to_beginning(self, *partitions: TopicPartition) -> bool:
        done = await super().seek_to_beginning(*partitions)
        if not self.rebalances:
            self.rebalances += 1
            assignment = self._subscription.subscription.assignment
            self._coordinator.request_rejoin()
            await assignment.unassign_future
            while self._subscription.subscription.assignment in (None, assignment):
                await asyncio.sleep(0.01)
        return bool(done)


async def test_a_rebalance_while_a_partition_s_begin_is_sought_delays_nothing(topics: Topics) -> None:
    await topics.send((0, b"first", ()), (1, b"second", ()))
    consumer = plain_kafka(topics.servers).consumer_of(
        partial(RebalancedOnce, topics.input, denied=lambda *_: None),
        group_id=topics.service,
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        async with asyncio.timeout(30):
            read = {(await consumer.getone()).value for _ in range(2)}
    finally:
        await consumer.stop()
    assert (read, consumer.rebalances) == ({b"first", b"second"}, 1)


class CountingSeeks(GroupConsumer):
    """Counts how many begins of partitions are sought at once."""

    now = 0
    most = 0

    async def seek_to_beginning(self, *partitions: TopicPartition) -> bool:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return bool(await super().seek_to_beginning(*partitions))
        finally:
            self.now -= 1


async def test_the_partitions_of_a_group_that_never_committed_begin_together(topics: Topics) -> None:
    """One after the other, each would wait for a fetch: the broker answers behind the one that waits for records."""
    await topics.grow_input(8)
    await topics.send(*((partition, b"value", ()) for partition in range(8)))
    consumer = plain_kafka(topics.servers).consumer_of(
        partial(CountingSeeks, topics.input, topics.retry, denied=lambda *_: None),
        group_id=topics.service,
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        async with asyncio.timeout(30):
            read = {(await consumer.getone()).partition for _ in range(8)}
    finally:
        await consumer.stop()
    assert read == set(range(8))
    assert consumer.most > 1


def skipped(logs: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    named = ("topic", "offset", "first_offset", "skipped")
    return [{name: line[name] for name in named} for line in logs if line["event"] == "records_skipped"]


async def delete_before(topics: Topics, partition: TopicPartition, offset: int) -> None:
    """Deletes records as retention does, but at once."""
    admin = AIOKafkaAdminClient(bootstrap_servers=topics.servers)
    await admin.start()
    try:
        await admin.delete_records({partition: RecordsToDelete(before_offset=offset)})
    finally:
        await admin.close()
