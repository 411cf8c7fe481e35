"""Two processes of a service on the same work: one is paused in the middle of it, the other is given it and finishes.

Then the paused one goes on, as if no time had passed. Whatever it still does must change nothing.
"""

import asyncio
import signal
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.local.stack import LocalStack
from shared.events.topology import SERVICES
from tests.support.failing_batches import commit_failing_batch
from tests.support.pipeline import Completions, Pipeline
from tests.support.records import TestData
from tests.support.service_processes import ServiceProcess, ServiceProcesses
from tests.support.source import SourceServer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

ROUNDS: tuple[dict[str, str], ...] = (
    {
        "crawler": "put",
        "processor": "put",
        "converter": "put",
        "loader": "copied",
        "s3sink": "put",
        "quality": "recorded",
    },
    {
        "crawler": "manifest",
        "processor": "manifest",
        "converter": "manifest",
        "loader": "committed",
        "s3sink": "written",
        "quality": "checked",
    },
    {
        "crawler": "publish",
        "processor": "publish",
        "converter": "commit",
        "loader": "publish",
        "s3sink": "announced",
        "quality": "transaction",
    },
    {
        "crawler": "commit",
        "processor": "death",
        "converter": "death",
        "loader": "death",
        "s3sink": "unusable",
        "quality": "listed",
    },
)
"""Where each service is paused, all six at once: before, between and after its effects."""

PARTITIONS = 6
DATASETS = ("posts", "users", "albums", "todos")
WITHIN_S = 120.0
SETTLED_S = 8.0
"""A paused process goes on, finds that it lost its partitions, and joins its group again."""


@dataclass(frozen=True)
class Stage:
    processes: ServiceProcesses
    pipeline: Pipeline
    test_data: TestData


@pytest.fixture(scope="module")
async def stage(
    tmp_path_factory: pytest.TempPathFactory, source: SourceServer, test_data: TestData
) -> AsyncIterator[Stage]:
    extra = {"ONPOINT_CRAWL_ALLOW_HOSTS": source.allow, "ONPOINT_KAFKA_SESSION_TIMEOUT_MS": "6000"}
    for name in ("JSONPLACEHOLDER", "HACKERNEWS"):
        extra[f"ONPOINT_SOURCE_{name}_URL"] = source.url
        extra[f"ONPOINT_SOURCE_{name}_REQUESTS_PER_SECOND"] = "0"
    folder = tmp_path_factory.mktemp("zombies")
    with (
        LocalStack(folder / "stack", services=(), extra_env=extra) as stack,
        ServiceProcesses(stack, folder) as processes,
    ):
        yield Stage(processes, Pipeline(stack.environment()), test_data)
        stack.down(wipe=True)


async def everything(pipeline: Pipeline, runs: list[str]) -> dict[str, Any]:
    """All that the runs left, to the last value and time."""
    found: dict[str, Any] = {
        dataset: await pipeline.fetch(f"SELECT * FROM onpoint_{dataset} ORDER BY id") for dataset in DATASETS
    }
    for table in ("onpoint_loader.loaded_batches", "onpoint_runs.v_results"):
        found[table] = await pipeline.fetch(
            f"SELECT * FROM {table} WHERE run_id = ANY($1) ORDER BY 1, 2, 3", runs
        )
    found["objects"] = await pipeline.fetch(
        "SELECT object_name, state, sha256, rows FROM onpoint_lake.objects WHERE run_id = ANY($1) ORDER BY 1",
        runs,
    )
    found["batches"] = await pipeline.fetch(
        "SELECT batch_id, status, object_name FROM onpoint_lake.batches WHERE run_id = ANY($1) ORDER BY 1",
        runs,
    )
    found["lake"] = sorted(pipeline.keys(pipeline.lake_bucket))
    found["listings"] = {run_id: pipeline.listing(run_id) for run_id in runs}
    found["manifests"] = {
        key: pipeline.read(f"s3://{pipeline.staging_bucket}/{key}")
        for key in pipeline.keys(pipeline.staging_bucket)
        if key.endswith(".json")
    }
    return found


@pytest.mark.parametrize("points", ROUNDS, ids=lambda points: "-".join(points.values()))
async def test_what_a_paused_process_does_late_changes_nothing(stage: Stage, points: dict[str, str]) -> None:
    pipeline = stage.pipeline
    good, failing_run = (f"zombie-{uuid.uuid4().hex[:8]}" for _ in range(2))
    paused = [stage.processes.start(name, STOP_AT=f"{name}.{points[name]}:1") for name in SERVICES]
    async with pipeline.completions() as completions:
        await pipeline.request({"run_id": good, "datasets": list(DATASETS)})
        for_death = "death" in points.values()
        runs = [good, failing_run] if for_death else [good]
        if for_death:
            await commit_failing_batch(pipeline, failing_run, "processor")
            late = f"zombie-{uuid.uuid4().hex[:8]}"
            runs.append(late)
            await commit_failing_batch(pipeline, late, "late")
        others = await start_second_processes(stage.processes, paused)
        await finish(stage, completions, runs, good)
        before = await everything(pipeline, runs)
        for zombie in paused:
            zombie.send(signal.SIGCONT)
        seen = await completions.for_a_while(SETTLED_S)
        assert await everything(pipeline, runs) == before
        assert Counter(value["run_id"] for value in seen) == dict.fromkeys(runs, 1)
    await asyncio.gather(*(replica.stop() for replica in (*paused, *others) if replica.is_running()))


async def start_second_processes(
    processes: ServiceProcesses, paused: list[ServiceProcess]
) -> list[ServiceProcess]:
    """Starts the second process of each service as soon as the first is paused: they wait for each other's work."""

    async def second(first: ServiceProcess) -> ServiceProcess:
        await first.paused(WITHIN_S)
        return processes.start(first.service)

    return list(await asyncio.gather(*(second(first) for first in paused)))


async def finish(stage: Stage, completions: Completions, runs: list[str], good: str) -> None:
    """Every run ends without those that are paused, and with the right content."""
    ended = await completions.all(set(runs), WITHIN_S)
    assert (ended[good]["status"], ended[good]["reason"]) == ("succeeded", None)
    for dataset in DATASETS:
        expected = stage.test_data.expected(dataset)
        assert await stage.pipeline.rows(dataset) == expected
        assert stage.pipeline.lake_rows(good, dataset) == expected


DOUBLED = (
    "crawl.batch.requested",
    *("batch.crawled", "batch.processed", "batch.converted", "batch.loaded", "batch.stored", "batch.failed"),
    *("run.sealed", "run.drained"),
)
COPY = ("copy", b"1")


async def double_everything(pipeline: Pipeline) -> None:
    """Publishes each event once more on the next partition, which often belongs to another process."""
    consumer = AIOKafkaConsumer(bootstrap_servers=pipeline.servers, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for topic in DOUBLED for number in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.seek_to_end(*partitions)
        async with AIOKafkaProducer(bootstrap_servers=pipeline.servers, linger_ms=0) as producer:
            while True:
                for partition, messages in (await consumer.getmany(timeout_ms=100)).items():
                    for message in messages:
                        if COPY not in message.headers:
                            await producer.send(
                                partition.topic,
                                message.value,
                                key=message.key,
                                partition=(partition.partition + 1) % PARTITIONS,
                                headers=[*message.headers, COPY],
                            )
    finally:
        await consumer.stop()


async def test_two_processes_of_each_service_that_get_the_same_events_come_to_one_result(
    stage: Stage,
) -> None:
    pipeline = stage.pipeline
    runs = [f"twins-{uuid.uuid4().hex[:8]}" for _ in range(3)]
    replicas = [stage.processes.start(name) for name in (*SERVICES, *SERVICES)]
    await asyncio.gather(*(replica.ready(120) for replica in replicas))
    doubling = asyncio.create_task(double_everything(pipeline))
    try:
        async with pipeline.completions() as completions:
            for run_id in runs:
                await asyncio.gather(
                    *(pipeline.request({"run_id": run_id, "datasets": list(DATASETS)}) for _ in range(2))
                )
            await finish(stage, completions, runs, runs[-1])
            seen = Counter(value["run_id"] for value in await completions.for_a_while(SETTLED_S))
    finally:
        doubling.cancel()
        await asyncio.gather(doubling, return_exceptions=True)
    assert {run_id: seen[run_id] for run_id in runs} == dict.fromkeys(runs, 1)
    for run_id in runs:
        for dataset in DATASETS:
            expected = stage.test_data.expected(dataset)
            assert pipeline.lake_rows(run_id, dataset) == expected
    results = await pipeline.fetch(
        "SELECT stage, status, count(*) AS n FROM onpoint_runs.v_results WHERE run_id = ANY($1) GROUP BY 1, 2",
        runs,
    )
    assert {(row["stage"], row["status"]): row["n"] for row in results} == {
        (name, "done"): len(runs) * len(DATASETS) for name in SERVICES if name != "quality"
    }
    await asyncio.gather(*(replica.stop() for replica in replicas))
