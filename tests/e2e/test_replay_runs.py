"""A run replayed from a stage, and a run that is cancelled: whole, on real components."""

import asyncio
import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiokafka.partitioner import DefaultPartitioner

from shared.events import ids
from tests.e2e.test_whole_way import assert_row_accounting, new_run
from tests.support import source as faults
from tests.support.lag import LagReader
from tests.support.operator import Operator
from tests.support.pipeline import Pipeline
from tests.support.records import TestData
from tests.support.source import SourceServer

pytestmark = pytest.mark.e2e

STAGES = ("processor", "converter", "loader", "s3sink")
DATASETS = ("posts", "users", "stories")
LIMIT = 60
LAST_STAGES = ("converter", "loader", "s3sink")
SAME_COUNTS = (
    "batches",
    "batches_dead",
    "rows_crawled",
    "rows_accepted",
    "rows_rejected",
    "rows_deduplicated",
)
FIGURES: dict[str, tuple[str, ...]] = {
    "converter": ("exports",),
    "loader": ("rows_loaded", "rows_superseded", "rows_not_loaded"),
    "s3sink": ("rows_stored", "rows_not_stored", "objects_stored", "bytes_stored"),
}
"""What `run.completed` reports about the last stages."""


def last_stages(from_stage: str) -> set[str]:
    """The last stages that a replay runs."""
    return set(LAST_STAGES) if from_stage == "processor" else {from_stage}


def assert_same_counts(counts: dict[str, Any], before: dict[str, Any], stage: str) -> None:
    """A replay counts as the run that it replays does; the figures of a stage that it does not run are 0."""
    assert {k: counts[k] for k in SAME_COUNTS} == {k: before[k] for k in SAME_COUNTS}
    asked = last_stages(stage)
    for name, figures in FIGURES.items():
        for figure in figures:
            if name not in asked:
                assert not counts[figure], figure
            elif figure == "bytes_stored":
                assert counts[figure] > 0
            elif name != "loader":
                assert counts[figure] == before[figure], figure
    if "loader" in asked:
        delivered = [each["rows_loaded"] + each["rows_superseded"] for each in (counts, before)]
        assert delivered[0] == delivered[1]


@pytest.fixture(autouse=True)
async def healthy(source: SourceServer) -> AsyncIterator[None]:
    yield
    source.heal()
    source.delay_s = 0


@pytest.fixture(scope="module")
async def first(pipeline: Pipeline) -> dict[str, Any]:
    """The completion of a run that is replayed from each stage."""
    parameters = {dataset: {"limit": LIMIT} for dataset in DATASETS}
    return await pipeline.run(
        {"run_id": new_run(), "datasets": list(DATASETS), "parameters": parameters}, within_s=120
    )


def csv_lines(pipeline: Pipeline, run_id: str, dataset: str) -> list[list[str]]:
    lines: list[list[str]] = []
    exports = pipeline.listing(run_id)["datasets"][dataset]["exports"]
    for export in sorted((each for each in exports if each["format"] == "csv"), key=lambda each: each["uri"]):
        text = gzip.decompress(pipeline.read(export["uri"])).decode()
        lines += list(csv.reader(io.StringIO(text, newline="")))
    return lines


def replay_of(run_id: str, stage: str, **more: Any) -> dict[str, Any]:
    return {"run_id": new_run(), "replay_of": run_id, "from_stage": stage, **more}


async def table(pipeline: Pipeline, dataset: str) -> list[tuple[Any, ...]]:
    """Every row of the table with the run that brought it."""
    found = await pipeline.fetch(f"SELECT * FROM onpoint_{dataset} ORDER BY id")
    return [tuple(row.values()) for row in found]


async def results_of_services(pipeline: Pipeline, run_id: str) -> set[str]:
    """The stages that have a result of the run, by the ledger and by the stages' own records."""
    ledger = await pipeline.fetch(
        "SELECT DISTINCT stage FROM onpoint_runs.v_results WHERE run_id = $1", run_id
    )
    loaded = await pipeline.fetch(
        "SELECT 1 FROM onpoint_loader.v_audit_batches WHERE run_id = $1 LIMIT 1", run_id
    )
    stored = await pipeline.fetch(
        "SELECT 1 FROM onpoint_lake.v_audit_batches WHERE run_id = $1 LIMIT 1", run_id
    )
    converted = any(
        key.startswith(f"runs/{run_id}/") and "/converter/" in key
        for key in pipeline.keys(pipeline.staging_bucket)
    )
    own = {"loader": loaded, "s3sink": stored, "converter": converted}
    return {row["stage"] for row in ledger} | {name for name, has in own.items() if has}


async def wait_until_all_is_read(pipeline: Pipeline) -> None:
    """Until every group is at the end of its topics: the run does not wait for stages that it does not have."""
    lag = await LagReader.open(pipeline.servers, {})
    try:
        async with asyncio.timeout(60):
            while True:
                ends, committed = await lag.read()
                at = {(group, tp): offset for group, own in committed.items() for tp, offset in own.items()}
                if all(at[group, tp] >= ends[tp] for group, tp in at if tp.topic == "batch.processed"):
                    return
                await asyncio.sleep(0.2)
    finally:
        await lag.close()


@pytest.mark.parametrize("stage", STAGES)
async def test_a_replay_runs_its_stage_and_what_depends_on_it_and_asks_no_source(
    pipeline: Pipeline, source: SourceServer, test_data: TestData, first: dict[str, Any], stage: str
) -> None:
    old = first["run_id"]
    asked, before = len(source.seen), {dataset: await table(pipeline, dataset) for dataset in DATASETS}
    request = replay_of(old, stage)
    done = await pipeline.run(request, within_s=120)
    new = request["run_id"]
    await wait_until_all_is_read(pipeline)
    assert len(source.seen) == asked
    assert (done["status"], done["reason"], done["from_stage"]) == ("succeeded", None, stage)
    assert list(done["datasets"]) == list(DATASETS)
    assert await results_of_services(pipeline, new) == {"crawler", "processor", *last_stages(stage)}
    listed = pipeline.listing(new)["datasets"]
    for dataset in DATASETS:
        expected = test_data.expected(dataset)[:LIMIT]
        assert_same_counts(done["datasets"][dataset], first["datasets"][dataset], stage)
        if "loader" in last_stages(stage):
            # The newer run wins in PostgreSQL, and the lake has both.
            assert await pipeline.rows(dataset, f"_run_id = '{new}'") == expected
            assert await pipeline.rows(dataset, f"_run_id = '{old}'") == []
        else:
            assert await table(pipeline, dataset) == before[dataset]
        assert pipeline.lake_rows(old, dataset) == expected
        assert pipeline.lake_rows(new, dataset) == (expected if "s3sink" in last_stages(stage) else [])
        assert bool(listed[dataset]["exports"]) == ("converter" in last_stages(stage))
        if "converter" in last_stages(stage):
            assert csv_lines(pipeline, new, dataset) == csv_lines(pipeline, old, dataset)
    result = await Operator(pipeline.environment).run("verify", old, new)
    assert result.code == 0, result.out


async def test_a_replay_that_loads_dates_its_rows_by_its_own_request(
    pipeline: Pipeline, first: dict[str, Any]
) -> None:
    request = replay_of(first["run_id"], "loader", datasets=["posts"])
    done = await pipeline.run(request, within_s=60)
    (times,) = await pipeline.fetch(
        "SELECT min(_requested_at) AS low, max(_requested_at) AS high FROM onpoint_posts WHERE _run_id = $1",
        request["run_id"],
    )
    assert times["low"] == times["high"]
    assert times["low"].isoformat()[:19] == done["requested_at"][:19]


@pytest.mark.parametrize("stage", ["processor", "s3sink"])
async def test_what_was_refused_missing_and_doubled_is_so_in_the_replay(
    pipeline: Pipeline, source: SourceServer, test_data: TestData, stage: str
) -> None:
    source.fail("/comments?_page=2&_limit=100", faults.status(500))
    rows = [*test_data.records["comments"][:99], test_data.records["comments"][0]]
    source.fail("/comments?_page=1&_limit=100", faults.records(rows, X_Total_Count="500"), after=1)
    old = new_run()
    first = await pipeline.run({"run_id": old, "datasets": ["comments"]}, within_s=60)
    assert first["status"] == "partial"
    request = replay_of(old, stage)
    done = await pipeline.run(request, within_s=60)
    assert (done["status"], done["missing"]) == (first["status"], first["missing"])
    counts = done["datasets"]["comments"]
    assert_same_counts(counts, first["datasets"]["comments"], stage)
    assert (counts["rows_rejected"], counts["rows_deduplicated"]) == (0, 1)
    assert pipeline.quarantine(request["run_id"], "comments") == pipeline.quarantine(old, "comments")
    assert pipeline.lake_rows(request["run_id"], "comments") == pipeline.lake_rows(old, "comments")


async def test_a_replay_of_a_replay_and_of_some_datasets(
    pipeline: Pipeline, source: SourceServer, test_data: TestData
) -> None:
    old = new_run()
    await pipeline.run({"run_id": old, "datasets": ["posts", "albums"]}, within_s=60)
    asked = len(source.seen)
    request = replay_of(old, "converter", datasets=["albums"], formats=["csv"])
    done = await pipeline.run(request, within_s=60)
    assert done["datasets"]["albums"]["exports"] == {"csv": 1}
    for stage in ("s3sink", "processor"):
        before, request = request["run_id"], replay_of(request["run_id"], stage)
        done = await pipeline.run(request, within_s=60)
        async with asyncio.timeout(30):
            while pipeline.listing(before)["superseded_by"] != request["run_id"]:
                await asyncio.sleep(0.2)
        assert (done["status"], list(done["datasets"])) == ("succeeded", ["albums"])
        assert pipeline.lake_rows(request["run_id"], "albums") == test_data.expected("albums")
    assert len(source.seen) == asked


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"replay_of": "never-was", "from_stage": "loader"}, "run never-was is not known"),
        ({"replay_of": "never-was"}, "from_stage"),
        ({"replay_of": "../x", "from_stage": "loader"}, "is no run id"),
        ({"from_stage": "loader", "datasets": ["posts"]}, "replay_of: missing"),
    ],
    ids=str,
)
async def test_a_replay_of_what_is_not_there_ends_at_once_with_a_reason(
    pipeline: Pipeline, request_: dict[str, Any], words: str
) -> None:
    done = await pipeline.run({"run_id": new_run(), **request_}, within_s=15)
    assert (done["status"], done["datasets"]) == ("failed", {})
    assert words in done["reason"]


async def test_a_replay_of_what_was_swept_ends_as_failed_with_a_reason(pipeline: Pipeline) -> None:
    old = new_run()
    await pipeline.run({"run_id": old, "datasets": ["albums"]}, within_s=60)
    for key in list(pipeline.keys(pipeline.staging_bucket)):
        if key.startswith(f"runs/{old}/") and not key.endswith(".json"):
            pipeline.s3.delete_object(Bucket=pipeline.staging_bucket, Key=key)
    done = await pipeline.run(replay_of(old, "loader"), within_s=60)
    assert done["status"] == "failed"
    (dead,) = done["dead"]
    assert (dead["stage"], dead["reason"]) == ("crawler", "object_missing")
    assert_row_accounting(done["datasets"]["albums"])


def cancel(pipeline: Pipeline, run_id: str) -> None:
    """As `onpoint cancel` does it."""
    pipeline.s3.put_object(
        Bucket=pipeline.staging_bucket,
        Key=f"runs/{run_id}/cancelled",
        Body=json.dumps({"by": "test", "at": "2026-11-24T06:00:00Z"}).encode(),
    )


async def what_arrived(pipeline: Pipeline, run_id: str) -> dict[str, Any]:
    """Everything of a run that its users can see."""
    tables = {
        dataset: await pipeline.fetch(
            f"SELECT count(*) AS n FROM onpoint_{dataset} WHERE _run_id = $1", run_id
        )
        for dataset in DATASETS
    }
    objects = await pipeline.fetch(
        "SELECT object_name, state FROM onpoint_lake.objects WHERE run_id = $1 ORDER BY object_name", run_id
    )
    return {
        "tables": {name: found[0]["n"] for name, found in tables.items()},
        "objects": [tuple(row) for row in objects],
        "exports": [k for k in pipeline.keys(pipeline.lake_bucket) if k.startswith(f"exports/{run_id}/")],
        "listing": pipeline.listing(run_id),
    }


@pytest.mark.parametrize("after_s", [None, 0.0, 0.2, 0.5, 0.8, 1.2], ids=lambda s: f"after {s} s")
async def test_a_cancelled_run_ends_once_as_cancelled_and_nothing_of_it_arrives_later(
    pipeline: Pipeline, source: SourceServer, after_s: float | None
) -> None:
    """`after_s` None: before the request. The source is slow, so that no run is over before it is cancelled."""
    source.delay_s = 1.0 if after_s is not None else 0.0
    run_id = new_run()
    async with pipeline.completions() as completions:
        if after_s is None:
            cancel(pipeline, run_id)
        await pipeline.request({"run_id": run_id, "datasets": list(DATASETS)})
        if after_s is not None:
            await asyncio.sleep(after_s)
            cancel(pipeline, run_id)
        done = await completions.of(run_id, 90)
        assert (done["status"], done["reason"]) == ("cancelled", "the run was cancelled")
        at_the_end = await what_arrived(pipeline, run_id)
        for dataset in DATASETS:
            assert_row_accounting(done["datasets"][dataset])
            assert at_the_end["tables"][dataset] == done["datasets"][dataset]["rows_loaded"]
        assert {state for _, state in at_the_end["objects"]} <= {"announced"}
        seen = await completions.for_a_while(3)
        assert Counter(value["run_id"] for value in seen)[run_id] == 1
    assert await what_arrived(pipeline, run_id) == at_the_end
    for service in ("crawler", "processor", "converter", "loader", "s3sink"):
        assert await pipeline.dead_letters_of_run(service, run_id) == []


def run_whose_posts_do_not_wait_for_its_stories() -> str:
    """A run id with which no worker gets both the plan of its stories and its posts, however partitions are assigned."""
    partition = DefaultPartitioner()
    numbers = list(range(6))
    while True:
        run_id = new_run()
        stories, *posts = (
            partition(key.encode(), numbers, numbers)
            for key in (
                ids.plan_unit_id(run_id, "stories"),
                ids.plan_unit_id(run_id, "posts"),
                ids.batch_id(run_id, "posts", 0),
            )
        )
        if stories == 0 and set(posts) <= {2, 4, 5}:
            return run_id


async def test_what_was_delivered_before_a_run_was_cancelled_stays_and_is_counted(
    pipeline: Pipeline, source: SourceServer, test_data: TestData
) -> None:
    cancelled = asyncio.Event()

    async def answer_later(_: web.Request) -> web.StreamResponse:
        await cancelled.wait()
        return web.json_response([story["id"] for story in test_data.records["stories"]])

    source.fail("/v0/topstories.json", answer_later)
    run_id = run_whose_posts_do_not_wait_for_its_stories()
    async with pipeline.completions() as completions:
        await pipeline.request({"run_id": run_id, "datasets": ["posts", "stories"]})
        async with asyncio.timeout(60):
            while not await pipeline.rows("posts", f"_run_id = '{run_id}'"):
                await asyncio.sleep(0.1)
        cancel(pipeline, run_id)
        cancelled.set()
        done = await completions.of(run_id, 60)
    assert done["status"] == "cancelled"
    posts, stories = done["datasets"]["posts"], done["datasets"]["stories"]
    assert_row_accounting(posts)
    assert_row_accounting(stories)
    assert posts["rows_loaded"] == len(test_data.records["posts"])
    assert (stories["batches"], stories["rows_accepted"]) == (stories["batches_dead"], 0)
    assert {dead["reason"] for dead in done["dead"]} == {"cancelled"}


async def test_a_replay_can_be_cancelled_and_a_cancelled_run_be_replayed(
    pipeline: Pipeline, test_data: TestData
) -> None:
    old = new_run()
    await pipeline.run({"run_id": old, "datasets": ["users"]}, within_s=60)
    request = replay_of(old, "processor")
    cancel(pipeline, request["run_id"])
    assert (await pipeline.run(request, within_s=60))["status"] == "cancelled"
    done = await pipeline.run(replay_of(request["run_id"], "processor"), within_s=60)
    assert done["status"] == "failed", "nothing was copied, so nothing can be"
    assert [dead["reason"] for dead in done["dead"]] == ["object_missing"]
    again = replay_of(old, "processor")
    assert (await pipeline.run(again, within_s=60))["status"] == "succeeded"
    assert pipeline.lake_rows(again["run_id"], "users") == test_data.expected("users")
