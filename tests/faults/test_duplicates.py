"""Every event again, twice and five times, in another order: the same final state."""

import asyncio
import contextlib
import random
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from deploy.local.stack import LocalStack
from tests.support.lag import LagReader
from tests.support.pipeline import Pipeline
from tests.support.records import TestData
from tests.support.source import SourceServer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

TOPICS = {
    "crawl.requested": 1,
    **dict.fromkeys(
        (
            "crawl.batch.requested",
            "crawl.planned",
            "batch.crawled",
            "batch.processed",
            "batch.converted",
            "batch.loaded",
            "batch.stored",
            "batch.failed",
            "run.sealed",
            "run.drained",
            "exports.combine.requested",
            "exports.combined",
        ),
        6,
    ),
}
"""All that a service reads → partitions, as deploy/kafka/topics.yaml has them."""
PARTITIONS = [TopicPartition(topic, number) for topic, count in TOPICS.items() for number in range(count)]

WINDOW = 1000
COPY = ("test.copy", b"1")
DATASETS = ("posts", "users", "comments", "todos", "albums")
BATCH_ROWS = 10
"""Some ninety batches."""
RUN_S = 200.0


@pytest.fixture(scope="module")
async def source(test_data: TestData) -> AsyncIterator[SourceServer]:
    async with SourceServer(test_data.records, delay_s=0.02) as server:
        yield server


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, source: SourceServer) -> Iterator[LocalStack]:
    extra = {
        "ONPOINT_CRAWL_ALLOW_HOSTS": source.allow,
        "ONPOINT_CRAWL_BATCH_ROWS": str(BATCH_ROWS),
        "ONPOINT_SOURCE_JSONPLACEHOLDER_URL": source.url,
        "ONPOINT_SOURCE_JSONPLACEHOLDER_REQUESTS_PER_SECOND": "0",
        "ONPOINT_SOURCE_JSONPLACEHOLDER_PAGE_SIZE": str(BATCH_ROWS),
    }
    with LocalStack(tmp_path_factory.mktemp("doubled"), ports="free", extra_env=extra) as stack:
        yield stack
        stack.down(wipe=True)


@pytest.fixture
def pipeline(stack: LocalStack) -> Pipeline:
    return Pipeline(stack.environment())


class Copier:
    """Publishes each record `times - 1` times more, in windows of 1,000 in shuffled order."""

    def __init__(self, servers: str, times: int, seed: int) -> None:
        self._servers = servers
        self._times = times
        self._random = random.Random(seed)  # noqa: S311 - repeatable
        self.copied = 0
        self._copied: set[tuple[str, bytes, bytes]] = set()

    @asynccontextmanager
    async def during(self) -> AsyncIterator[None]:
        """Copies what is published while the block runs, a second late at most."""
        async with self._clients() as (consumer, producer):
            await consumer.seek_to_end(*PARTITIONS)
            for partition in PARTITIONS:
                await consumer.position(partition)
            task = asyncio.create_task(self._follow(consumer, producer))
            try:
                yield
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def copy_run(self, run_id: str) -> None:
        """Copies every event of a run, from the topics' beginnings, all shuffled together."""
        async with self._clients() as (consumer, producer):
            ends = await consumer.end_offsets(PARTITIONS)
            found: list[ConsumerRecord] = []
            while any([await consumer.position(p) < ends[p] for p in PARTITIONS]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += [r for r in records if r.value and run_id.encode() in r.value]
            for start in range(0, len(found), WINDOW):
                await self._publish(found[start : start + WINDOW], producer)

    async def _follow(self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer) -> None:
        while True:
            batches = await consumer.getmany(timeout_ms=1000, max_records=WINDOW)
            originals = [r for records in batches.values() for r in records if self._is_new(r)]
            await self._publish(originals, producer)

    def _is_new(self, record: ConsumerRecord) -> bool:
        """A stage that meets a copy publishes its result again: copying results too would never end."""
        event = (record.topic, record.key, record.value)
        if COPY in record.headers or event in self._copied:
            return False
        self._copied.add(event)
        return True

    async def _publish(self, records: list[ConsumerRecord], producer: AIOKafkaProducer) -> None:
        copies = records * (self._times - 1)
        self._random.shuffle(copies)
        for record in copies:
            await producer.send(record.topic, record.value, record.key, headers=[*record.headers, COPY])
        await producer.flush()
        self.copied += len(copies)

    @asynccontextmanager
    async def _clients(self) -> AsyncIterator[tuple[AIOKafkaConsumer, AIOKafkaProducer]]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._servers, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        async with consumer, AIOKafkaProducer(bootstrap_servers=self._servers, linger_ms=5) as producer:
            consumer.assign(PARTITIONS)
            yield consumer, producer


async def wait_until_all_is_handled(pipeline: Pipeline) -> None:
    reader = await LagReader.open(pipeline.servers, {})
    try:
        async with asyncio.timeout(RUN_S):
            while True:
                ends, committed = await reader.read()
                behind = sum(
                    ends[p] - offset for offsets in committed.values() for p, offset in offsets.items()
                )
                if not behind:
                    return
                await asyncio.sleep(0.3)
    finally:
        await reader.close()


async def state_of(pipeline: Pipeline, run_id: str) -> dict[str, Any]:
    """All that a run leaves behind, times of writing included: nothing is written twice."""
    state: dict[str, Any] = {
        dataset: await pipeline.fetch(f"SELECT * FROM onpoint_{dataset} ORDER BY _source_position")
        for dataset in DATASETS
    }
    state["results"] = await pipeline.fetch(
        "SELECT * FROM onpoint_runs.v_results WHERE run_id = $1 ORDER BY batch_id, stage", run_id
    )
    state["progress"] = await pipeline.fetch(
        "SELECT * FROM onpoint_runs.v_progress WHERE run_id = $1 ORDER BY dataset, stage", run_id
    )
    state["listing"] = pipeline.listing(run_id)
    state["lake"] = sorted(pipeline.keys(pipeline.lake_bucket))
    staging = pipeline.keys(pipeline.staging_bucket)
    state["staging"] = sorted(key for key in staging if key.startswith(f"runs/{run_id}/"))
    return state


async def assert_content(pipeline: Pipeline, run_id: str, done: dict[str, Any], data: TestData) -> None:
    assert (done["status"], done["reason"]) == ("succeeded", None)
    for dataset in DATASETS:
        expected = data.expected(dataset)
        assert await pipeline.rows(dataset, f"_run_id = '{run_id}'") == expected
        assert pipeline.lake_rows(run_id, dataset) == expected
        summary = done["datasets"][dataset]
        assert summary["rows_loaded"] == summary["rows_stored"] == len(expected)
        assert summary["rows_superseded"] == summary["batches_dead"] == 0


@pytest.mark.parametrize("times", [2, 5])
async def test_a_run_whose_events_all_come_several_times_out_of_order_ends_as_any_other(
    times: int, pipeline: Pipeline, test_data: TestData
) -> None:
    run_id = f"times-{times}-{uuid.uuid4().hex[:6]}"
    copier = Copier(pipeline.servers, times, seed=times)
    async with pipeline.completions() as completions, copier.during():
        await pipeline.request({"run_id": run_id, "datasets": list(DATASETS)})
        done = await completions.of(run_id, RUN_S)
        await wait_until_all_is_handled(pipeline)
        again = [value for value in await completions.for_a_while(3) if value["run_id"] == run_id]
    assert len(again) == 1
    assert copier.copied >= (times - 1) * 300
    await assert_content(pipeline, run_id, done, test_data)


@pytest.mark.parametrize("times", [2, 5])
async def test_events_that_come_again_when_the_run_is_over_change_nothing(
    times: int, pipeline: Pipeline, test_data: TestData
) -> None:
    run_id = f"after-{times}-{uuid.uuid4().hex[:6]}"
    copier = Copier(pipeline.servers, times, seed=10 * times)
    async with pipeline.completions() as completions:
        await pipeline.request({"run_id": run_id, "datasets": list(DATASETS)})
        done = await completions.of(run_id, RUN_S)
        await wait_until_all_is_handled(pipeline)
        before = await state_of(pipeline, run_id)
        await copier.copy_run(run_id)
        await wait_until_all_is_handled(pipeline)
        again = [value for value in await completions.for_a_while(3) if value["run_id"] == run_id]
    assert len(again) == 1
    assert copier.copied >= (times - 1) * 300
    await assert_content(pipeline, run_id, done, test_data)
    assert await state_of(pipeline, run_id) == before
