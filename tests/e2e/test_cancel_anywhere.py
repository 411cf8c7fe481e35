"""Runs that are cancelled at any moment, while old things are swept, end once and stay as they ended."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.e2e.test_replay_runs import cancel, what_arrived
from tests.e2e.test_whole_way import assert_row_accounting, new_run
from tests.support.operator import Operator
from tests.support.pipeline import Pipeline
from tests.support.source import SourceServer

pytestmark = [pytest.mark.e2e, pytest.mark.faults, pytest.mark.timeout(600)]

MOMENTS = 24
SEED = 20261124
LONGEST_S = 4.0
DATASETS = ["users", "posts", "albums", "stories"]


@pytest.fixture
async def slow(source: SourceServer) -> AsyncIterator[SourceServer]:
    source.delay_s = 0.2
    yield source
    source.delay_s = 0.0


@asynccontextmanager
async def sweeping(operator: Operator, swept: list[int]) -> AsyncIterator[None]:
    """One `onpoint sweep` after another, of everything that may go, whatever its age."""

    async def sweep() -> None:
        while True:
            result = await operator.run("sweep", "--older-than-hours", "0", "--json")
            assert result.code == 0, result.err
            swept.append(result.json()["total"]["count"])

    task = asyncio.create_task(sweep())
    try:
        yield
        if not swept:
            await asyncio.wait({task}, timeout=60, return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
        results = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError), results[0]


@pytest.mark.usefixtures("slow")
async def test_runs_cancelled_at_any_moment_amid_sweeps_end_once_and_nothing_of_them_comes_later(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(SEED)  # noqa: S311 - not for secrets
    run_ids = [new_run() for _ in range(MOMENTS)]
    swept: list[int] = []
    started = time.monotonic()

    async def run_and_cancel(run_id: str) -> None:
        parameters = {"stories": {"limit": 200}}
        await pipeline.request({"run_id": run_id, "datasets": DATASETS, "parameters": parameters})
        await asyncio.sleep(chance.uniform(0, LONGEST_S))
        await asyncio.to_thread(cancel, pipeline, run_id)

    async with pipeline.completions() as completions, sweeping(Operator(pipeline.environment), swept):
        for run_id in run_ids:
            await run_and_cancel(run_id)
        ended = await completions.all(set(run_ids), 120)
        before = {run_id: await what_arrived(pipeline, run_id) for run_id in run_ids}
        seen = Counter(value["run_id"] for value in await completions.for_a_while(5))
    assert {run_id: seen[run_id] for run_id in run_ids} == dict.fromkeys(run_ids, 1)
    lake = {f"s3://{pipeline.lake_bucket}/{key}" for key in pipeline.keys(pipeline.lake_bucket)}
    for run_id, done in ended.items():
        assert done["status"] in {"cancelled", "succeeded"}
        assert await what_arrived(pipeline, run_id) == before[run_id]
        listed = pipeline.listing(run_id)["datasets"]
        for dataset, summary in done["datasets"].items():
            assert_row_accounting(summary)
            objects = {entry["uri"]: entry["rows"] for entry in listed[dataset]["objects"]}
            assert sum(objects.values()) == summary["rows_stored"]
            assert set(objects) <= lake, "what a listing names is never swept"
    states = Counter(done["status"] for done in ended.values())
    partly = sum(
        sum(part["rows_loaded"] for part in done["datasets"].values()) > 0
        for done in ended.values()
        if done["status"] == "cancelled"
    )
    with capsys.disabled():
        print(  # noqa: T201 - the figures
            f"\n{MOMENTS} runs cancelled within {LONGEST_S} s (seed {SEED}): {dict(states)}, {partly} of them "
            f"after something had arrived; {len(swept)} sweeps, {sum(swept)} objects; {time.monotonic() - started:.0f} s"
        )
    assert states["cancelled"] >= MOMENTS // 3
