"""The service as a process, on a real broker and a real S3 server: killed at every step, each batch is crawled once."""

import asyncio
import json
import os
import sys
import uuid
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from shared.bus.topic_admin import apply_topics, load_topics
from shared.events import topics
from shared.events.decode import decode_event
from shared.events.models import BatchManifest, CrawlPlanned
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.storage.object_store import ObjectStore, open_s3
from tests.support import source as faults
from tests.support.bus import plain_kafka
from tests.support.crawler import environment_for, lines_of
from tests.support.source import SourceServer

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
KILLED = 137
POSTS = [{"userId": 1, "id": n, "title": f"title {n}", "body": "text"} for n in range(1, 251)]
STORIES = [{"id": 1000 + n, "title": f"story {n}"} for n in range(30)]

POINTS = [
    "crawler.manifest",
    "crawler.publish",
    *(
        pytest.param(f"crawler.{point}", marks=pytest.mark.faults)
        for point in ("request", "plan", "put", "commit", "dead_letter")
    ),
]
"""Those around the commit of a batch always; the others are long: a killed member is missed for ten seconds."""


@pytest.fixture
async def environment(s3_environment: Mapping[str, str]) -> Mapping[str, str]:
    await apply_topics(
        plain_kafka(s3_environment["ONPOINT_KAFKA_BOOTSTRAP_SERVERS"]),
        load_topics(ROOT / "deploy/kafka/topics.yaml"),
    )
    return {**os.environ, **s3_environment, "ONPOINT_HTTP_PORT": "0"}


@pytest.fixture
def staging(environment: Mapping[str, str]) -> ObjectStore:
    settings = load_settings(ObjectStoreSettings, environment)
    return open_s3(settings, settings.staging_bucket)


@asynccontextmanager
async def crawler_process(
    environment: Mapping[str, str], source: SourceServer, **more: str
) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.crawler.app",
        cwd=ROOT,
        env={
            **environment,
            **environment_for(source.url),
            "ONPOINT_CRAWL_ALLOW_HOSTS": source.allow,
            **more,
        },
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def ask(servers: str, value: Mapping[str, Any] | bytes) -> None:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    async with AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
        await producer.send_and_wait(topics.CRAWL_REQUESTED, raw)


class Published:
    """What the crawler published about one run, from the start of the topics."""

    def __init__(self, servers: str, run_id: str) -> None:
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=servers, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        self._run_id = run_id.encode()
        self.planned: list[CrawlPlanned] = []
        self.results: list[BatchManifest] = []

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        names = (topics.CRAWL_PLANNED, topics.BATCH_CRAWLED, topics.BATCH_FAILED)
        partitions = [TopicPartition(name, number) for name in names for number in range(6)]
        self._consumer.assign(partitions)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def until(self, datasets: set[str]) -> None:
        """Until every dataset is planned and every planned batch has its result."""
        async with asyncio.timeout(90):
            while not self._is_complete(datasets):
                await self._read()

    async def settled(self) -> None:
        """Reads on for as long as anything may still come."""
        for _ in range(3):
            await self._read()

    async def _read(self) -> None:
        for partition, records in (await self._consumer.getmany(timeout_ms=700)).items():
            for record in records:
                if self._run_id not in (record.value or b""):
                    continue
                if partition.topic == topics.CRAWL_PLANNED:
                    self.planned.append(decode_event(CrawlPlanned, record.value))
                else:
                    self.results.append(decode_event(BatchManifest, record.value))

    def _is_complete(self, datasets: set[str]) -> bool:
        batches = {planned.dataset: planned.batches for planned in self.planned}
        done = {(result.dataset, result.sequence) for result in self.results}
        return set(batches) == datasets and len(done) == sum(batches.values())


async def rows(staging: ObjectStore, manifest: BatchManifest) -> list[Any]:
    return [json.loads(line) for line in await lines_of(staging, manifest.artifacts[0])]


@pytest.mark.parametrize("point", POINTS)
async def test_every_batch_is_crawled_once_wherever_the_service_is_killed(
    environment: Mapping[str, str], staging: ObjectStore, point: str
) -> None:
    run_id = f"killed-{uuid.uuid4().hex[:8]}"
    servers = environment["ONPOINT_KAFKA_BOOTSTRAP_SERVERS"]
    async with (
        SourceServer({"posts": POSTS, "stories": STORIES}) as source,
        Published(servers, run_id) as published,
    ):
        source.fail("/albums", faults.status(404))
        request = {"run_id": run_id, "datasets": ["posts", "stories", "albums"]}
        async with crawler_process(environment, source, CRASH_AT=f"{point}:1") as process:
            await ask(servers, request)
            async with asyncio.timeout(60):
                assert await process.wait() == KILLED
        async with crawler_process(environment, source):
            await ask(servers, request)
            await published.until({"posts", "stories", "albums"})
            await published.settled()
    results = {result.batch_id: result for result in published.results}
    assert all(result == results[result.batch_id] for result in published.results), (
        "one result, however often it is told"
    )
    of = {result.dataset: result for result in results.values()}
    assert len(of) == len(results) == 3
    assert await rows(staging, of["posts"]) == POSTS
    assert await rows(staging, of["stories"]) == STORIES
    assert (of["albums"].status, of["albums"].counts.read) == ("dead", 0)
    stored = [info.key async for info in staging.list(f"runs/{run_id}/")]
    assert sum(key.endswith(".json") and "/crawler/" in key for key in stored) == 3


async def test_garbage_delays_nothing_and_stops_cleanly(
    environment: Mapping[str, str], staging: ObjectStore
) -> None:
    run_id = f"beside-{uuid.uuid4().hex[:8]}"
    servers = environment["ONPOINT_KAFKA_BOOTSTRAP_SERVERS"]
    async with SourceServer({"posts": POSTS}) as source, Published(servers, run_id) as published:
        async with crawler_process(environment, source) as process:
            for value in (b"", b"\xff", b"[]", b"{", b'{"a":"\\ud800"}', b"{}", b'{"datasets":["nonsense"]}'):
                await ask(servers, value)
            async with AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
                for undecodable in (None, b"", b"\xff", b"{}", b'{"version":9}'):
                    await producer.send_and_wait(
                        topics.CRAWL_BATCH_REQUESTED, undecodable, key=b"0" * 32, headers=[("bad", b"\xff")]
                    )
            await ask(servers, {"run_id": run_id, "datasets": ["posts"]})
            await published.until({"posts"})
            process.terminate()
            async with asyncio.timeout(30):
                assert await process.wait() == 0
        [result] = published.results
        assert await rows(staging, result) == POSTS
