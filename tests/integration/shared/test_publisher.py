"""The publisher on a real broker: it goes on where the broker refuses its sequence, and other programs can read it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from shared.bus.messages import Outgoing, Record
from shared.bus.publisher import Publisher
from shared.errors import TransientError
from shared.events.decode import decode_event
from shared.events.models import BatchUnreadable, RunDrained
from shared.reasons import Reason
from tests.support.bus import Topics, plain_kafka, run_drained, running

pytestmark = pytest.mark.integration

SMALL_BYTES = 400

READ_WITHOUT_CODECS = """
import asyncio, sys
sys.modules["cramjam"] = None
from aiokafka import AIOKafkaConsumer

async def read() -> None:
    consumer = AIOKafkaConsumer(sys.argv[2], bootstrap_servers=sys.argv[1], auto_offset_reset="earliest",
                                isolation_level="read_committed")
    async with consumer:
        print((await asyncio.wait_for(consumer.getone(), 30)).key.decode())

asyncio.run(read())
"""
"""A Python client as it is installed by default: lz4, snappy and zstd need a library more."""


@pytest.mark.parametrize("transactional", [False, True])
async def test_after_a_refused_record_the_next_ones_go_out_with_a_new_producer(
    topics: Topics, *, transactional: bool
) -> None:
    """A record that the broker refuses leaves a gap in the producer's sequence: it takes no later one of it."""
    await set_largest_record(topics, topics.output, SMALL_BYTES)
    tries = 0

    async def handler(record: Record) -> Sequence[Outgoing]:
        nonlocal tries
        tries += 1
        run_id = decode_event(RunDrained, record.value).run_id
        if tries == 2:  # a producer that published nothing before has no sequence to break
            return [Outgoing(topics.output, "too large", large_event())]
        return [Outgoing(topics.output, run_id, decode_event(RunDrained, record.value))]

    await topics.send((0, run_drained("a"), []), (0, run_drained("b"), []))
    async with running(topics, handler, transactional=transactional), asyncio.timeout(60):
        while len(await topics.read(topics.output, isolation="read_committed")) < 2:
            await asyncio.sleep(0.1)
    found = await topics.read(topics.output, isolation="read_committed")
    assert [record.key for record in found] == [b"a", b"b"]


async def test_after_its_sender_ended_a_producer_is_replaced(topics: Topics) -> None:
    event = decode_event(RunDrained, run_drained("r"))
    publisher = Publisher(plain_kafka(topics.servers), topics.service)
    await publisher.start()
    try:
        ended = publisher._require_producer()  # noqa: SLF001 - what a fatal error of Kafka does
        ended._message_accumulator.drain_by_nodes = None  # noqa: SLF001 - as above
        with pytest.raises(TransientError, match="was replaced"):
            await publisher.publish_all([Outgoing(topics.output, "r", event)])
        await publisher.publish_all([Outgoing(topics.output, "r", event)])
    finally:
        await publisher.stop()
    assert [record.key for record in await topics.read(topics.output)] == [b"r"]


async def test_what_is_published_in_a_transaction_is_read_without_a_further_codec(topics: Topics) -> None:
    async def handler(record: Record) -> Sequence[Outgoing]:
        event = decode_event(RunDrained, record.value)
        return [Outgoing(topics.output, event.run_id, event)]

    await topics.send((0, run_drained("readable"), []))
    async with running(topics, handler, transactional=True), asyncio.timeout(30):
        while not await topics.read(topics.output, isolation="read_committed"):
            await asyncio.sleep(0.1)
    read = await asyncio.to_thread(
        subprocess.run,
        (sys.executable, "-W", "ignore", "-c", READ_WITHOUT_CODECS, topics.servers, topics.output),
        capture_output=True,
        text=True,
        check=False,
    )
    assert read.stdout == "readable\n", read.stderr[-2000:]


def large_event() -> BatchUnreadable:
    """Larger than `SMALL_BYTES` when it is compressed, too."""
    return BatchUnreadable(
        batch_id="0" * 32, stage="loader", reason=Reason.HANDLER, detail=os.urandom(500).hex()
    )


async def set_largest_record(topics: Topics, name: str, size: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=topics.servers)
    await admin.start()
    try:
        resource = ConfigResource(ConfigResourceType.TOPIC, name, configs={"max.message.bytes": str(size)})
        await admin.alter_configs([resource])
    finally:
        await admin.close()
