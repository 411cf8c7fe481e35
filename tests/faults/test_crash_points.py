"""Every named crash point, for the first and the second time it is reached, in one story.

The services die there one after another, all six at once, while runs of every kind go through them: good ones with
bad records in them, ones with a batch that dies at each stage, replays, undecodable records. Then each run
must have ended once, as the same one did before anything was killed, with the same content.
"""

import asyncio
import gzip
import json
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.stack import LocalStack
from shared.events import ids
from shared.events.decode import encode
from shared.events.models import ExportsCombineRequested
from shared.events.topology import SERVICES
from tests.support import source as faults
from tests.support.crash_points import POINTS
from tests.support.failing_batches import commit_failing_batch
from tests.support.pipeline import Completions, Pipeline
from tests.support.records import TestData
from tests.support.service_processes import KILLED, ServiceProcesses
from tests.support.source import SourceServer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]

HITS = (1, 2)
CASES = [(service, point, hit) for service, points in POINTS.items() for point, hit in product(points, HITS)]

DATASETS = ("posts", "users", "albums", "todos")
DEAD_DATASET = "stories"
BAD_TODOS: list[dict[str, Any]] = [{"id": None, "title": "no key"}, {"id": 9_001, "title": 5}]

INPUTS = {
    "crawl.batch.requested": ("crawler",),
    "batch.crawled": ("processor", "quality"),
    "batch.processed": ("converter", "loader", "s3sink", "quality"),
}
"""The topics to which undecodable records are sent, and the services that write a dead letter for each."""

GARBAGE_PARTITIONS = 2

COMBINED = "notes"
COMBINED_ROWS = 5
COMBINED_FILE = """\
name: notes
source:
  name: notes
  kind: api
  base_url: {url}
  path: /notes
  pagination: {{kind: none}}
table: c_notes
key: [id]
columns:
  - {{name: id, type: int64}}
formats: [csv]
exports: {{max_rows: 2}}
"""
"""A dataset whose exports are combined."""

GROWING = "readings"
GROWING_FILE = """\
name: readings
source:
  name: readings
  kind: api
  base_url: {url}
  path: /readings
  pagination: {{kind: none}}
table: c_readings
key: [id]
columns:
  - {{name: id, type: int64}}
schema: {{new_columns: evolve}}
"""
"""A dataset to whose records each run adds a field."""

BUNDLE_S = 5.0
POINT_S = 300.0
END_S = 180.0


@dataclass
class Swept:
    """What was seen from outside."""

    test_data: TestData
    codes: dict[tuple[str, str, int], int] = field(default_factory=dict)
    seconds: float = 0.0
    good: list[str] = field(default_factory=list)
    replays: list[str] = field(default_factory=list)
    failing: dict[str, str] = field(default_factory=dict)
    combined: list[str] = field(default_factory=list)
    growing: list[str] = field(default_factory=list)
    readings: list[dict[str, int]] = field(default_factory=list)
    garbage: list[bytes] = field(default_factory=list)
    completions: list[dict[str, Any]] = field(default_factory=list)

    def expected(self, dataset: str) -> list[tuple[Any, ...]]:
        return self.test_data.expected(dataset)

    @property
    def runs(self) -> list[str]:
        return [*self.good, *self.replays, *self.failing, *self.combined, *self.growing]


@pytest.fixture(scope="module")
def readings() -> list[dict[str, int]]:
    """What the source answers for the dataset whose records gain fields."""
    return []


@pytest.fixture(scope="module")
async def crash_source(test_data: TestData, readings: list[dict[str, int]]) -> AsyncIterator[SourceServer]:
    records = {name: test_data.records[name] for name in (*DATASETS, DEAD_DATASET)}
    records[COMBINED] = [{"id": n} for n in range(COMBINED_ROWS)]
    records[GROWING] = readings
    records["todos"] = [*records["todos"], *BAD_TODOS]
    async with SourceServer(records) as server:
        for story in test_data.records[DEAD_DATASET][:2]:
            server.fail(f"/v0/item/{story['id']}.json", faults.status(404))
        yield server


@pytest.fixture(scope="module")
async def swept(
    tmp_path_factory: pytest.TempPathFactory,
    crash_source: SourceServer,
    test_data: TestData,
    readings: list[dict[str, int]],
) -> AsyncIterator[tuple[Pipeline, Swept]]:
    extra = {
        "ONPOINT_CRAWL_ALLOW_HOSTS": crash_source.allow,
        # The smallest that the broker takes: each kill costs this much.
        "ONPOINT_KAFKA_SESSION_TIMEOUT_MS": "6000",
    }
    for name in ("JSONPLACEHOLDER", "HACKERNEWS"):
        extra[f"ONPOINT_SOURCE_{name}_URL"] = crash_source.url
        extra[f"ONPOINT_SOURCE_{name}_REQUESTS_PER_SECOND"] = "0"
        extra[f"ONPOINT_SOURCE_{name}_PAGE_SIZE"] = "50"
    datasets = tmp_path_factory.mktemp("datasets")
    for name, text in ((COMBINED, COMBINED_FILE), (GROWING, GROWING_FILE)):
        (datasets / f"{name}.yaml").write_text(text.format(url=crash_source.url))
    extra["ONPOINT_DATASETS_DIR"] = str(datasets)
    folder = tmp_path_factory.mktemp("crashes")
    with (
        LocalStack(folder / "stack", services=(), extra_env=extra) as stack,
        ServiceProcesses(stack, folder) as processes,
    ):
        pipeline, seen = Pipeline(stack.environment()), Swept(test_data)
        seen.readings = readings
        async with pipeline.completions() as completions:
            await sweep(processes, pipeline, completions, seen)
        yield pipeline, seen
        stack.down(wipe=True)


async def sweep(
    processes: ServiceProcesses, pipeline: Pipeline, completions: Completions, seen: Swept
) -> None:
    replicas = [processes.start(service) for service in SERVICES]
    await ask_good(pipeline, seen)
    await ask_combined(pipeline, seen)
    await completions.all({seen.good[0], seen.combined[0]}, END_S)
    await asyncio.gather(*(replica.stop() for replica in replicas))

    started = time.monotonic()
    feeder = asyncio.create_task(feed(pipeline, seen))
    try:
        # A service that does not die ends the story for all: none of the others is started any more.
        async with asyncio.TaskGroup() as group:
            for service in SERVICES:
                group.create_task(die_everywhere(processes, service, seen))
    finally:
        feeder.cancel()
        await asyncio.gather(feeder, return_exceptions=True)
    seen.seconds = time.monotonic() - started
    await completions.all(set(seen.runs), END_S)
    seen.completions = list(await completions.for_a_while(5))


async def die_everywhere(processes: ServiceProcesses, service: str, seen: Swept) -> None:
    """Kills the service at each of its points in turn; it runs at the end."""
    for point, hit in product(POINTS[service], HITS):
        replica = processes.start(service, CRASH_AT=f"{service}.{point}:{hit}")
        seen.codes[service, point, hit] = await replica.exited(POINT_S)
    await processes.start(service).ready()


async def feed(pipeline: Pipeline, seen: Swept) -> None:
    """Runs of every kind, for as long as services die."""
    for number in range(10_000):
        await ask_good(pipeline, seen)
        await ask_growing(pipeline, seen)
        if number % 2 == 0:
            for death in ("processor", "late", "bare"):
                run_id = new_run(f"failing_run-{death}")
                seen.failing[run_id] = death
                await commit_failing_batch(pipeline, run_id, death)
            await ask_replay(pipeline, seen)
        await ask_to_combine_again(pipeline, seen.combined[0])
        await send_garbage(pipeline, seen)
        await asyncio.sleep(BUNDLE_S)


def new_run(kind: str) -> str:
    return f"crash-{kind}-{uuid.uuid4().hex[:8]}"


async def ask_good(pipeline: Pipeline, seen: Swept) -> None:
    run_id = new_run("good")
    seen.good.append(run_id)
    parameters = {DEAD_DATASET: {"limit": 2}}
    await pipeline.request(
        {"run_id": run_id, "datasets": [*DATASETS, DEAD_DATASET], "parameters": parameters}
    )


async def ask_replay(pipeline: Pipeline, seen: Swept) -> None:
    run_id = new_run("replay")
    seen.replays.append(run_id)
    await pipeline.request(
        {"run_id": run_id, "replay_of": seen.good[0], "from_stage": "processor", "datasets": list(DATASETS)}
    )


async def ask_combined(pipeline: Pipeline, seen: Swept) -> None:
    run_id = new_run("combined")
    seen.combined.append(run_id)
    await pipeline.request({"run_id": run_id, "datasets": [COMBINED]})


async def ask_growing(pipeline: Pipeline, seen: Swept) -> None:
    number = len(seen.readings)
    seen.readings.append({"id": number, f"sensor_{number}": number})
    run_id = new_run("growing")
    seen.growing.append(run_id)
    await pipeline.request({"run_id": run_id, "datasets": [GROWING]})


async def ask_to_combine_again(pipeline: Pipeline, run_id: str) -> None:
    """Of a run that has ended: a converter that dies there waits for no other service."""
    event = ExportsCombineRequested(run_id=run_id, dataset=COMBINED, format="csv")
    key = ids.combination_id(run_id, COMBINED, "csv")
    await pipeline.publish("exports.combine.requested", encode(event), key=key.encode())


async def send_garbage(pipeline: Pipeline, seen: Swept) -> None:
    key = uuid.uuid4().hex.encode()
    seen.garbage.append(key)
    async with AIOKafkaProducer(bootstrap_servers=pipeline.servers, acks="all") as producer:
        for topic, partition in product(INPUTS, range(GARBAGE_PARTITIONS)):
            await producer.send_and_wait(topic, b"{", key=key, partition=partition)


def summary_of(completion: dict[str, Any]) -> dict[str, Any]:
    """What must be equal in every run of the same kind: all but names, times and which of two runs loaded first."""
    datasets = {}
    for name, counts in completion["datasets"].items():
        delivered = counts["rows_loaded"] + counts["rows_superseded"]
        compared = {
            key: value
            for key, value in counts.items()
            if key not in {"rows_loaded", "rows_superseded", "bytes_stored"}
        }
        datasets[name] = {**compared, "delivered": delivered}
    return {
        "status": completion["status"],
        "datasets": datasets,
        "checks": [(one["dataset"], one["name"], one["passed"]) for one in completion["checks"]],
        "dead": sorted((one["dataset"], one["stage"], one["reason"]) for one in completion["dead"]),
        "missing": len(completion["missing"]),
    }


@pytest.mark.parametrize(("service", "point", "hit"), CASES, ids=str)
async def test_the_service_was_killed_at_the_point(
    swept: tuple[Pipeline, Swept], service: str, point: str, hit: int
) -> None:
    assert swept[1].codes[service, point, hit] == KILLED


async def test_every_run_ended_once_and_as_the_same_run_did_before_anything_was_killed(
    swept: tuple[Pipeline, Swept], capsys: pytest.CaptureFixture[str]
) -> None:
    _, seen = swept
    with capsys.disabled():
        print(  # noqa: T201 - the figures of the sweep
            f"\n{len(seen.codes)} kills in {seen.seconds:.0f} s, {len(seen.runs)} runs, "
            f"{len(seen.garbage) * len(INPUTS) * GARBAGE_PARTITIONS} undecodable records"
        )
    assert Counter(value["run_id"] for value in seen.completions) == Counter(seen.runs)
    ended = {value["run_id"]: summary_of(value) for value in seen.completions}
    reference = ended[seen.good[0]]
    assert reference["dead"][0][:2] == (DEAD_DATASET, "crawler")
    assert {json.dumps(ended[run_id]) for run_id in seen.good} == {json.dumps(reference)}
    whole = {name: reference["datasets"][name] for name in DATASETS}
    for run_id in seen.replays:
        assert {name: ended[run_id]["datasets"][name] for name in DATASETS} == whole
    late = [("photos", "converter"), ("photos", "loader"), ("photos", "s3sink")]
    for run_id, death in seen.failing.items():
        found = [dead[:2] for dead in ended[run_id]["dead"]]
        assert found == ([("photos", "processor")] if death == "processor" else late)


async def test_every_value_is_there_once(swept: tuple[Pipeline, Swept]) -> None:
    pipeline, seen = swept
    requested_at = {value["run_id"]: value["requested_at"] for value in seen.completions}
    newest = max((*seen.good, *seen.replays), key=lambda run_id: (requested_at[run_id], run_id))
    listed: list[str] = []
    for dataset in DATASETS:
        assert await pipeline.rows(dataset) == seen.expected(dataset)
        (who,) = await pipeline.fetch(f"SELECT DISTINCT _run_id FROM onpoint_{dataset}")
        assert who["_run_id"] == newest
    for run_id in (*seen.good, *seen.replays):
        for dataset in DATASETS:
            assert pipeline.lake_rows(run_id, dataset) == seen.expected(dataset), run_id
            listed += [entry["uri"] for entry in pipeline.listing(run_id)["datasets"][dataset]["objects"]]
    assert len(listed) == len(set(listed)), "no object is listed twice"
    stored = [
        f"s3://{pipeline.lake_bucket}/{key}"
        for key in pipeline.keys(pipeline.lake_bucket)
        if not key.startswith(("_runs/", "_datasets/", "exports/"))
    ]
    assert sorted(stored) == sorted(listed), "no object is left over"


async def test_every_new_column_is_made_once_and_has_its_value(swept: tuple[Pipeline, Swept]) -> None:
    pipeline, seen = swept
    rows = await pipeline.fetch("SELECT * FROM c_readings ORDER BY id")
    own = [
        {name: value for name, value in row.items() if not name.startswith("_") and value is not None}
        for row in rows
    ]
    assert own == seen.readings
    assert {value["status"] for value in seen.completions if value["run_id"] in seen.growing} == {"succeeded"}
    versions = [key for key in pipeline.keys(pipeline.staging_bucket) if key.startswith("schemas/")]
    assert len(versions) <= len(seen.readings)


async def test_every_combined_file_is_listed_once(swept: tuple[Pipeline, Swept]) -> None:
    pipeline, seen = swept
    for run_id in seen.combined:
        async with asyncio.timeout(END_S):
            while not (found := pipeline.listing(run_id)["datasets"][COMBINED].get("combined")):
                await asyncio.sleep(0.5)
        texts = [gzip.decompress(pipeline.read(file["uri"])).decode().split()[1:] for file in found]
        assert [int(line) for text in texts for line in text] == list(range(COMBINED_ROWS))
        assert len(texts) == 3


async def test_every_batch_is_done_or_dead_in_staging_as_in_the_ledger(
    swept: tuple[Pipeline, Swept],
) -> None:
    pipeline, seen = swept
    rows = await pipeline.fetch(
        "SELECT batch_id, stage, status FROM onpoint_runs.v_results WHERE run_id = ANY($1)", seen.runs
    )
    ledger = {(row["batch_id"], row["stage"]): row["status"] for row in rows}
    staging = {}
    for key in pipeline.keys(pipeline.staging_bucket):
        parts = Path(key).parts
        if len(parts) == 5 and key.endswith(".json"):
            document = json.loads(pipeline.read(f"s3://{pipeline.staging_bucket}/{key}"))
            staging[document["batch_id"], parts[3]] = document["status"]
    assert staging == {place: status for place, status in ledger.items() if place in staging}
    for table, stage in (("onpoint_loader.loaded_batches", "loader"), ("onpoint_lake.batches", "s3sink")):
        for row in await pipeline.fetch(f"SELECT batch_id, status = 'dead' AS dead FROM {table}"):
            assert (ledger[row["batch_id"], stage] == "dead") == row["dead"]


async def test_an_undecodable_record_is_one_entry_for_each_service_that_read_it(
    swept: tuple[Pipeline, Swept],
) -> None:
    pipeline, seen = swept
    for service, topics in Counter(service for services in INPUTS.values() for service in services).items():
        dead_letters = [
            dead_letter
            for dead_letter in await pipeline.all_dead_letters(service)
            if dead_letter.key in seen.garbage
        ]
        assert {dead_letter.value for dead_letter in dead_letters} == {b"{"}
        # A dead letter that is written twice names the same record: it is one entry.
        places = {
            (headers["dlq.original.topic"], headers["dlq.original.partition"], headers["dlq.original.offset"])
            for headers in (dict(dead_letter.headers) for dead_letter in dead_letters)
        }
        assert len(places) == topics * GARBAGE_PARTITIONS * len(seen.garbage)
