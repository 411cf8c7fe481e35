"""kill -9 of a stage in the middle of a replay that begins there, twice: the table and the lake have the same rows."""

import asyncio
import uuid

import pytest

from deploy.local.stack import LocalStack
from tests.faults.test_kills import PARAMETERS, RUN_S, assert_content, is_running
from tests.support.pipeline import Pipeline
from tests.support.records import TestData

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

DATASETS = ("posts", "users", "comments", "todos", "albums", "photos", "stories")
LAST_STAGES = ("converter", "loader", "s3sink")


@pytest.fixture(scope="module")
async def old(pipeline: Pipeline, test_data: TestData) -> str:
    run_id = f"replayed-{uuid.uuid4().hex[:6]}"
    done = await pipeline.run(
        {"run_id": run_id, "datasets": list(DATASETS), "parameters": PARAMETERS}, within_s=RUN_S
    )
    assert done["status"] == "succeeded"
    await assert_content(pipeline, run_id, test_data)
    return run_id


async def results_at(pipeline: Pipeline, run_id: str) -> dict[str, int]:
    rows = await pipeline.fetch(
        "SELECT stage, count(*) AS n FROM onpoint_runs.v_results WHERE run_id = $1 GROUP BY stage", run_id
    )
    return {row["stage"]: row["n"] for row in rows}


async def rows_of_tables(pipeline: Pipeline) -> dict[str, list[tuple[object, ...]]]:
    """Without the columns that name the run of a row."""
    return {dataset: await pipeline.rows(dataset) for dataset in DATASETS}


@pytest.mark.parametrize("stage", ["processor", *LAST_STAGES])
async def test_a_replay_whose_stage_is_killed_half_way_delivers_the_same_once(
    breakable: LocalStack, pipeline: Pipeline, old: str, stage: str
) -> None:
    before = await rows_of_tables(pipeline)
    for time in ("first", "second"):
        run_id = f"replay-{stage}-{time}-{uuid.uuid4().hex[:6]}"
        async with pipeline.completions() as completions:
            await pipeline.request({"run_id": run_id, "replay_of": old, "from_stage": stage})
            async with asyncio.timeout(60):
                while not (await results_at(pipeline, run_id)).get("processor"):
                    await asyncio.sleep(0.01)
            assert await is_running(pipeline, run_id)
            pid = await asyncio.to_thread(breakable.kill, stage)
            done = await completions.of(run_id, RUN_S)
            await asyncio.to_thread(breakable.wait_ready, stage, other_than=pid)
            again = [value for value in await completions.for_a_while(2) if value["run_id"] == run_id]
        assert (len(again), done["status"], done["reason"]) == (1, "succeeded", None)
        last = {*LAST_STAGES} if stage == "processor" else {stage}
        assert set(await results_at(pipeline, run_id)) == {"crawler", "processor", *last}
        assert await rows_of_tables(pipeline) == before
        for dataset in DATASETS:
            stored = pipeline.lake_rows(run_id, dataset)
            assert stored == (pipeline.lake_rows(old, dataset) if "s3sink" in last else [])
            loaded = len(await pipeline.rows(dataset, f"_run_id = '{run_id}'"))
            assert loaded == (len(before[dataset]) if "loader" in last else 0)
