"""A permanent poison event blocks its partition for a moment only, and nothing behind it is lost or reordered."""

import itertools
import statistics
import time

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from shared.events.ids import batch_id
from tests.e2e.test_whole_way import new_run
from tests.support.pipeline import Pipeline

pytestmark = [pytest.mark.e2e, pytest.mark.faults]

POISONS = 60
PARTITION = 3
MOST_S = 1.0
"""The contract: the longest time for which one poison event may block the records behind it."""


async def test_a_poison_event_blocks_its_partition_for_a_second_at_most(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = new_run()
    await pipeline.run({"run_id": run_id, "datasets": ["users"]})
    batch = batch_id(run_id, "users", 0)
    crawled = pipeline.read(f"s3://{pipeline.staging_bucket}/runs/{run_id}/users/crawler/{batch}.json")
    key = new_run().encode()
    # The result of a batch that is done is published again each time: that tells when its record was handled.
    consumer = AIOKafkaConsumer(bootstrap_servers=pipeline.servers, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition("batch.processed", number) for number in range(6)]
        consumer.assign(partitions)
        await consumer.seek_to_end(*partitions)
        for partition in partitions:
            await consumer.position(partition)
        async with AIOKafkaProducer(bootstrap_servers=pipeline.servers, acks="all") as producer:
            for _ in range(POISONS):
                for value, own_key in ((crawled, batch.encode()), (b"{", key)):
                    await producer.send_and_wait("batch.crawled", value, key=own_key, partition=PARTITION)
            await producer.send_and_wait("batch.crawled", crawled, key=batch.encode(), partition=PARTITION)
        handled_ms: list[int] = []
        ends = time.monotonic() + 120
        while len(handled_ms) < POISONS + 1:
            assert time.monotonic() < ends, f"{len(handled_ms)} of {POISONS + 1} good records were handled"
            for messages in (await consumer.getmany(timeout_ms=500)).values():
                handled_ms += [m.timestamp for m in messages if m.key == batch.encode()]
    finally:
        await consumer.stop()
    dead_letters = await pipeline.dead_letters("processor", key)
    assert len(dead_letters) == POISONS
    offsets = [int(dict(dead_letter.headers)["dlq.original.offset"] or b"") for dead_letter in dead_letters]
    assert sorted(offsets) == list(range(min(offsets), min(offsets) + 2 * POISONS, 2)), "each once"
    blocked_s = sorted((b - a) / 1000 for a, b in itertools.pairwise(handled_ms))
    p95_s = blocked_s[int(len(blocked_s) * 0.95)]
    with capsys.disabled():
        print(  # noqa: T201 - the figures
            f"\n{POISONS} poison events: from one good record to the next median "
            f"{statistics.median(blocked_s) * 1000:.0f} ms, p95 {p95_s * 1000:.0f} ms, most {blocked_s[-1] * 1000:.0f} ms"
        )
    assert statistics.median(blocked_s) <= MOST_S
