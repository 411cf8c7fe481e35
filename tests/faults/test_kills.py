"""kill -9 of each service and of each component in the middle of a run: the same content, one completion."""

import asyncio
import time
import uuid
from typing import Any

import pytest

from deploy.local.stack import LocalStack
from shared.events.topology import SERVICES
from tests.support.pipeline import Pipeline
from tests.support.records import TestData

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

DATASETS = ("posts", "users", "comments", "todos", "albums", "photos", "stories")
STORIES = 2500
PARAMETERS = {"stories": {"limit": STORIES}}
"""Three batches of single requests: long enough to be caught in the middle."""

RECOVERY_S = 30.0
RUN_S = 180.0


async def progress(pipeline: Pipeline, run_id: str) -> tuple[int, ...]:
    """Finished batches by stage: any change is progress."""
    rows = await pipeline.fetch(
        "SELECT stage, sum(batches_done + batches_dead)::bigint AS n FROM onpoint_runs.v_progress "
        "WHERE run_id = $1 GROUP BY stage ORDER BY stage",
        run_id,
    )
    return tuple(row["n"] for row in rows)


async def is_running(pipeline: Pipeline, run_id: str) -> bool:
    rows = await pipeline.fetch("SELECT status FROM onpoint_runs.v_runs WHERE run_id = $1", run_id)
    return not rows or rows[0]["status"] == "running"


async def wait_for_batches(pipeline: Pipeline, run_id: str, least: int) -> None:
    async with asyncio.timeout(60):
        while sum(await progress(pipeline, run_id)) < least:
            await asyncio.sleep(0.02)


async def seconds_to_progress(pipeline: Pipeline, run_id: str) -> float:
    """Seconds from now until the run makes progress or ends."""
    before, started = await progress(pipeline, run_id), time.monotonic()
    while await is_running(pipeline, run_id) and await progress(pipeline, run_id) == before:
        await asyncio.sleep(0.1)
        assert time.monotonic() - started < 2 * RECOVERY_S
    return time.monotonic() - started


async def assert_content(pipeline: Pipeline, run_id: str, test_data: TestData) -> None:
    for dataset in DATASETS:
        expected = test_data.expected(dataset)
        if dataset == "stories":
            expected = expected[:STORIES]
        assert await pipeline.rows(dataset, f"_run_id = '{run_id}'") == expected
        assert pipeline.lake_rows(run_id, dataset) == expected


async def assert_all_arrived(
    pipeline: Pipeline, run_id: str, done: dict[str, Any], test_data: TestData
) -> None:
    assert (done["status"], done["reason"]) == ("succeeded", None)
    await assert_content(pipeline, run_id, test_data)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_that_is_killed_in_the_middle_of_a_run_changes_nothing_of_its_result(
    breakable: LocalStack, pipeline: Pipeline, test_data: TestData, service: str
) -> None:
    run_id = f"kill-{service}-{uuid.uuid4().hex[:6]}"
    async with pipeline.completions() as completions:
        await pipeline.request({"run_id": run_id, "datasets": list(DATASETS), "parameters": PARAMETERS})
        await wait_for_batches(pipeline, run_id, 2 if service == "crawler" else 5)
        pid = await asyncio.to_thread(breakable.kill, service)
        recovery_s = await seconds_to_progress(pipeline, run_id)
        done = await completions.of(run_id, RUN_S)
        await asyncio.to_thread(breakable.wait_ready, service, other_than=pid)
        again = [value for value in await completions.for_a_while(3) if value["run_id"] == run_id]
    assert len(again) == 1
    assert recovery_s <= RECOVERY_S
    await assert_all_arrived(pipeline, run_id, done, test_data)


@pytest.mark.parametrize("component", ["kafka", "postgres", "seaweedfs"])
async def test_a_component_that_is_away_for_a_while_pauses_the_run_and_loses_nothing(
    breakable: LocalStack, pipeline: Pipeline, test_data: TestData, component: str
) -> None:
    run_id = f"away-{component}-{uuid.uuid4().hex[:6]}"
    await pipeline.request({"run_id": run_id, "datasets": list(DATASETS), "parameters": PARAMETERS})
    await wait_for_batches(pipeline, run_id, 3)
    before = {row.name: row.restarts for row in breakable.rows()}
    await asyncio.to_thread(breakable.stop, component)
    await asyncio.sleep(10)
    await asyncio.to_thread(breakable.start, component)
    async with asyncio.timeout(RUN_S):
        while await is_running(pipeline, run_id):
            await asyncio.sleep(0.2)
    (row,) = await pipeline.fetch("SELECT completed FROM onpoint_runs.v_runs WHERE run_id = $1", run_id)
    assert row["completed"] is not None
    await assert_content(pipeline, run_id, test_data)
    after = {row.name: row.restarts for row in breakable.rows()}
    assert {name: after[name] - before[name] for name in SERVICES} == dict.fromkeys(SERVICES, 0)
    for service in SERVICES:
        assert not await pipeline.dead_letters_of_run(service, run_id)
