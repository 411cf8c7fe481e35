"""The service as a process, on a real broker: killed at every step, it completes the run exactly once."""

import asyncio
import os
import socket
import sys
import uuid
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.local.stack import LocalStack
from shared.bus.kafka import to_record
from shared.bus.messages import Outgoing, Record
from shared.bus.retry_headers import replay_headers
from shared.bus.topic_admin import apply_topics, load_topics
from shared.events import topics, topology
from shared.events.decode import decode_event, encode
from shared.events.models import RunCompleted
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.storage import keys
from shared.storage.object_store import open_s3
from tests.integration.quality.story import Batch, Story
from tests.support.bus import plain_kafka
from tests.support.news_receivers import web_receiver

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
        plain_kafka(settings["ONPOINT_KAFKA_BOOTSTRAP_SERVERS"]),
        load_topics(ROOT / "deploy/kafka/topics.yaml"),
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


async def first_completion(consumer: AIOKafkaConsumer, run_id: str) -> RunCompleted:
    """The run's; the broker is shared, and runs of other tests are completed here too."""
    async with asyncio.timeout(60):
        while True:
            completed = decode_event(RunCompleted, (await consumer.getone()).value)
            if completed.run_id == run_id:
                return completed


async def further_completions(consumer: AIOKafkaConsumer, run_id: str) -> int:
    """Waits longer than the interval of the loop that publishes unpublished milestones."""
    found = 0
    for _ in range(4):
        for records in (await consumer.getmany(timeout_ms=1000)).values():
            found += sum(decode_event(RunCompleted, record.value).run_id == run_id for record in records)
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
            completed = await first_completion(consumer, story.run_id)
            assert completed.datasets["users"] == story.summary("users")
            assert await further_completions(consumer, story.run_id) == 0


@pytest.mark.long
@pytest.mark.parametrize("point", ["news.claimed", "news.sent"])
async def test_news_of_a_run_arrives_though_its_sender_is_killed(
    environment: Mapping[str, str], postgres_dsn: str, tmp_path: Path, point: str
) -> None:
    story = Story(f"told-{uuid.uuid4().hex[:8]}", {"users": (Batch(clean=True),)})
    file = tmp_path / "news.yaml"
    connection = await asyncpg.connect(postgres_dsn)
    async with web_receiver() as receiver:
        file.write_text(
            f"channels: {{hook: {{kind: webhook, url: '{receiver.url}', secret: {{env: HOOK}}, allow_private: true}}}}\n"
            "routes: [{to: [hook], kinds: [run_completed]}]\n"
        )
        settings = {**environment, "ONPOINT_NEWS_FILE": str(file), "HOOK": "k" * 32}
        async with quality_process(settings, CRASH_AT=f"{point}:1") as process:
            await publish(environment["ONPOINT_KAFKA_BOOTSTRAP_SERVERS"], story.events())
            async with asyncio.timeout(60):
                assert await process.wait() == KILLED
        # The claim of the one that was killed lasts for a minute.
        await connection.execute("UPDATE onpoint_news.outbox SET claimed_until = clock_timestamp()")
        expected = 1 if point == "news.claimed" else 2
        async with quality_process(settings):
            await receiver.wait_for(expected)
            await asyncio.sleep(3)
    assert len(receiver.received) == expected
    assert len({request.headers["webhook-id"] for request in receiver.received}) == 1
    assert {request.document["data"]["run_id"] for request in receiver.received} == {story.run_id}
    assert await connection.fetchval("SELECT state FROM onpoint_news.outbox") == "sent"
    await connection.close()


async def test_quality_answers_for_the_health_of_the_pipeline(environment: Mapping[str, str]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    settings = {
        "ONPOINT_HTTP_PORT": str(port),
        "ONPOINT_HEALTH_SERVICES": f"quality={address}",
        "ONPOINT_HEALTH_USED_RATIO": "1",  # the machine of the tests may be busy
    }
    async with quality_process(environment, **settings), aiohttp.ClientSession() as session:
        async with asyncio.timeout(60):
            while not await is_ready(session, address):
                await asyncio.sleep(0.1)
        async with session.get(f"{address}/health/pipeline") as answer:
            report = await answer.json()
            assert answer.status == 200
        async with session.get(f"{address}/health/nothing") as answer:
            assert answer.status == 404
    assert report["status"] == "HEALTHY", report
    names = [check["name"] for check in report["checks"]]
    assert names == ["database", "freshness", "latency", "error_rate", "resources"]


async def test_a_wrong_file_of_channels_stops_the_start_and_says_where(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "news.yaml"
    file.write_text("channels: {hook: {kind: webhook}}\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.quality.app"),
        cwd=ROOT,
        env={**environment, "ONPOINT_NEWS_FILE": str(file)},
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(60):
        _, errors = await process.communicate()
    assert process.returncode == 2
    assert f"{file}: channels.hook.webhook.url: Field required" in errors.decode()


async def is_ready(session: aiohttp.ClientSession, address: str) -> bool:
    try:
        async with session.get(f"{address}/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


REFUSE_VERDICTS = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'no verdict today'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON onpoint_runs.verdicts
FOR EACH ROW WHEN (NEW.value ->> 'status' <> 'failed') EXECUTE FUNCTION refuse();
"""


async def read_dead_letters(servers: str, run_id: str) -> list[Record]:
    async with AIOKafkaConsumer(
        bootstrap_servers=servers, enable_auto_commit=False, auto_offset_reset="earliest"
    ) as consumer:
        partitions = [
            TopicPartition(topics.dead_letter_topic("quality"), number)
            for number in consumer.partitions_for_topic(topics.dead_letter_topic("quality")) or range(6)
        ]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[Record] = []
        for partition in partitions:
            while await consumer.position(partition) < ends[partition]:
                raw = await consumer.getone(partition)
                if raw.key == run_id.encode():
                    found.append(to_record(raw))
    return found


async def replay_to_quality(servers: str, dead_letter: Record) -> None:
    """As `onpoint dlq replay` does it."""
    headers = dict(dead_letter.headers)
    original = Record(
        topic=(headers["dlq.original.topic"] or b"").decode(),
        partition=int(headers["dlq.original.partition"] or b""),
        offset=int(headers["dlq.original.offset"] or b""),
        timestamp_ms=int(headers["dlq.original.timestamp"] or b""),
        key=dead_letter.key,
        value=dead_letter.value,
    )
    async with AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
        await producer.send_and_wait(
            topics.retry_topic("quality"),
            original.value,
            key=original.key,
            headers=replay_headers(original, now=datetime.now(UTC)),
        )


@pytest.mark.parametrize(
    "point",
    [
        None,
        pytest.param("quality.dead_letter", marks=pytest.mark.faults),
        pytest.param("quality.transaction", marks=pytest.mark.faults),
    ],
)
async def test_a_run_that_cannot_be_completed_ends_as_failed_exactly_once(
    environment: Mapping[str, str], postgres_dsn: str, point: str | None
) -> None:
    story = Story(f"broken-{uuid.uuid4().hex[:8]}", {"users": (Batch(clean=True),)})
    after = Story(f"after-{uuid.uuid4().hex[:8]}", {"users": (Batch(clean=True),)})
    servers = environment["ONPOINT_KAFKA_BOOTSTRAP_SERVERS"]
    connection = await asyncpg.connect(postgres_dsn)
    await connection.execute(REFUSE_VERDICTS)
    async with completions(servers) as consumer:
        if point is not None:
            async with quality_process(environment, CRASH_AT=f"{point}:1") as process:
                await publish(servers, story.events())
                async with asyncio.timeout(60):
                    assert await process.wait() == KILLED
        async with quality_process(environment):
            if point is None:
                await publish(servers, story.events())
            completed = await first_completion(consumer, story.run_id)
            assert completed.status == "failed"
            assert "no verdict today" in (completed.reason or "")
            dead_letters = await read_dead_letters(servers, story.run_id)
            assert dead_letters
            for dead_letter in dead_letters:
                await replay_to_quality(servers, dead_letter)
            assert await further_completions(consumer, story.run_id) == 0
            await connection.execute("DROP TRIGGER refuse ON onpoint_runs.verdicts")
            await publish(servers, after.events())
            completed = await first_completion(consumer, after.run_id)
            assert completed.status == "succeeded"
            assert len(await read_dead_letters(servers, story.run_id)) == len(dead_letters)
    await connection.close()


async def test_the_service_sweeps_on_its_schedule(
    environment: Mapping[str, str], s3_environment: Mapping[str, str]
) -> None:
    story = Story(f"swept-{uuid.uuid4().hex[:8]}", {"users": (Batch(clean=True),)})
    servers = environment["ONPOINT_KAFKA_BOOTSTRAP_SERVERS"]
    staging = open_s3(
        load_settings(ObjectStoreSettings, s3_environment), s3_environment["ONPOINT_STAGING_BUCKET"]
    )
    artifact = keys.artifact_key(story.run_id, "users", "processor", "0a" * 32, "parquet")
    manifest = keys.manifest_key(story.run_id, "users", "processor", story.batch_id("users", 0))
    for key in (artifact, manifest):
        await staging.put(key, b"{}")
    schedule = {"ONPOINT_SWEEP_INTERVAL_S": "1", "ONPOINT_STAGING_TTL_HOURS": "0"}
    async with completions(servers) as consumer, quality_process(environment, **schedule):
        await publish(servers, story.events()[:-1])
        await asyncio.sleep(5)
        assert await staging.head(artifact) is not None, "the run goes on"
        await publish(servers, story.events()[-1:])
        assert (await first_completion(consumer, story.run_id)).status == "succeeded"
        async with asyncio.timeout(60):
            while await staging.head(artifact) is not None:
                await asyncio.sleep(0.2)
    assert await staging.head(manifest) is not None


async def test_a_record_of_every_kind_of_garbage_delays_nothing(environment: Mapping[str, str]) -> None:
    story = Story(f"beside-{uuid.uuid4().hex[:8]}", {"users": (Batch(clean=True),)})
    servers = environment["ONPOINT_KAFKA_BOOTSTRAP_SERVERS"]
    garbage = [None, b"", b"\xff", b"[]", b"{}", b'{"version":9}', b'{"batch_id":1}']
    subscribed = [
        topics.CRAWL_PLANNED,
        *topology.RESULT_OF_STAGE.values(),
        topics.BATCH_FAILED,
        topics.RUN_DRAINED,
    ]
    async with completions(servers) as consumer, quality_process(environment):
        async with AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
            for topic in subscribed:
                for value in garbage:
                    await producer.send_and_wait(topic, value, key=b"0" * 32, headers=[("bad", b"\xff")])
        await publish(servers, story.events())
        assert (await first_completion(consumer, story.run_id)).status == "succeeded"
