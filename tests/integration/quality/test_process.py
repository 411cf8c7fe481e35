"""The service as a process, on a real broker: killed at every step, it completes the run exactly once."""

import asyncio
import os
import sys
import uuid
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.local.stack import LocalStack
from shared.bus.admin import apply_topics, load_topics
from shared.bus.record import Outgoing
from shared.events import topics
from shared.events.decode import decode_event, encode
from shared.events.models import RunCompleted
from tests.integration.quality.story import Batch, Story

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
KILLED = 137

POINTS = [
    "quality.transaction",
    "quality.completed",
    *(
        pytest.param(f"quality.{point}", marks=pytest.mark.faults)
        for point in ("recorded", "assigned", "publish", "announced", "commit", "checked", "listed")
    ),
]
"""Those around the one effect outside the database always; the others are long (a killed member is missed for ten
seconds), and what they leave in the database is tested without a broker too."""


@pytest.fixture
async def environment(components: LocalStack, postgres_dsn: str) -> Mapping[str, str]:
    settings = components.environment()
    await apply_topics(
        settings["ONPOINT_KAFKA_BOOTSTRAP_SERVERS"], load_topics(ROOT / "deploy/kafka/topics.yaml")
    )
    return {**os.environ, **settings, "ONPOINT_POSTGRES_DSN": postgres_dsn, "ONPOINT_HTTP_PORT": "0"}


@asynccontextmanager
async def quality_process(environment: Mapping[str, str], **more: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.quality.app", cwd=ROOT, env={**environment, **more}
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def publish(servers: str, events: Sequence[Outgoing]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
        for event in events:
            await producer.send_and_wait(event.topic, encode(event.event), key=event.key.encode())


@asynccontextmanager
async def completions(servers: str) -> AsyncIterator[AIOKafkaConsumer]:
    """What a reader of `run.completed` sees from now on."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers, isolation_level="read_committed", enable_auto_commit=False
    )
    await consumer.start()
    try:
        partition = TopicPartition(topics.RUN_COMPLETED, 0)
        consumer.assign([partition])
        await consumer.seek_to_end(partition)
        await consumer.position(partition)
        yield consumer
    finally:
        await consumer.stop()


async def first_completion(consumer: AIOKafkaConsumer) -> RunCompleted:
    async with asyncio.timeout(60):
        return decode_event(RunCompleted, (await consumer.getone()).value)


async def further_completions(consumer: AIOKafkaConsumer) -> int:
    """Seen in a while that is longer than the loop's which announces what was left behind."""
    found = 0
    for _ in range(4):
        found += sum(len(records) for records in (await consumer.getmany(timeout_ms=1000)).values())
    return found


@pytest.mark.parametrize("point", POINTS)
async def test_a_run_is_completed_exactly_once_wherever_the_service_is_killed(
    environment: Mapping[str, str], point: str
) -> None:
    story = Story(f"killed-{uuid.uuid4().hex[:8]}", {"users": (Batch(clean=True), Batch(clean=True))})
    servers = environment["ONPOINT_KAFKA_BOOTSTRAP_SERVERS"]
    async with completions(servers) as consumer:
        async with quality_process(environment, CRASH_AT=f"{point}:1") as process:
            await publish(servers, story.events() * 2)
            async with asyncio.timeout(60):
                assert await process.wait() == KILLED
        async with quality_process(environment):
            completed = await first_completion(consumer)
            assert completed.run_id == story.run_id
            assert completed.datasets["users"] == story.books("users")
            assert await further_completions(consumer) == 0


async def test_a_record_of_every_kind_of_garbage_holds_up_nothing(environment: Mapping[str, str]) -> None:
    story = Story(f"beside-{uuid.uuid4().hex[:8]}", {"users": (Batch(clean=True),)})
    servers = environment["ONPOINT_KAFKA_BOOTSTRAP_SERVERS"]
    garbage = [None, b"", b"\xff", b"[]", b"{}", b'{"version":9}', b'{"batch_id":1}']
    heard = [topics.CRAWL_PLANNED, *topics.RESULT_OF_STAGE.values(), topics.BATCH_FAILED, topics.RUN_DRAINED]
    async with completions(servers) as consumer, quality_process(environment):
        async with AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
            for topic in heard:
                for value in garbage:
                    await producer.send_and_wait(topic, value, key=b"0" * 32, headers=[("bad", b"\xff")])
        await publish(servers, story.events())
        assert (await first_completion(consumer)).run_id == story.run_id
