"""The publisher on a real broker: it goes on where the broker refuses its sequence, and other programs can read it."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence

import pytest

from shared.bus.messages import Outgoing, Record
from shared.events.decode import decode_event
from shared.events.models import RunDrained
from tests.support.bus import Topics, run_drained, running

pytestmark = pytest.mark.integration

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
