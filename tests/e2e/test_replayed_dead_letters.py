"""A dead letter that is replayed after its cause is gone: its rows arrive, in a run that had ended before."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator

import pytest

from tests.e2e.test_whole_way import new_run
from tests.support import source as faults
from tests.support.pipeline import Pipeline
from tests.support.records import TestData
from tests.support.source import SourceServer

pytestmark = pytest.mark.e2e


@pytest.fixture(autouse=True)
async def healthy(source: SourceServer, pipeline: Pipeline) -> AsyncIterator[None]:
    yield
    source.heal()
    await pipeline.fetch("ALTER TABLE onpoint_albums DROP CONSTRAINT IF EXISTS test_refuses_everything")


async def replay_dead_letters(pipeline: Pipeline, run_id: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "console", "dlq", "replay", "--run", run_id, "--yes"),
        env={**os.environ, **pipeline.environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


async def stored(pipeline: Pipeline, run_id: str) -> int:
    (row,) = await pipeline.fetch(
        "SELECT coalesce(sum(rows), 0)::int AS n FROM onpoint_lake.objects "
        "WHERE run_id = $1 AND state = 'announced'",
        run_id,
    )
    rows: int = row["n"]
    return rows


async def test_a_batch_that_died_at_the_source_goes_the_whole_way(
    pipeline: Pipeline, source: SourceServer, test_data: TestData
) -> None:
    source.fail("/albums", faults.status(404), after=1)
    run_id = new_run()
    done = await pipeline.run({"run_id": run_id, "datasets": ["albums", "users"]}, within_s=60)
    assert [dead["stage"] for dead in done["dead"]] == ["crawler"]
    source.heal()
    for _ in range(2):  # the second time it is done, and stays so
        await replay_dead_letters(pipeline, run_id)
    expected = test_data.expected("albums")
    async with asyncio.timeout(60):
        while await pipeline.rows("albums", f"_run_id = '{run_id}'") != expected:
            await asyncio.sleep(0.2)
        # Far sooner than a batch would wait for others: the run is sealed.
        while await stored(pipeline, run_id) < len(expected) + len(test_data.records["users"]):
            await asyncio.sleep(0.2)
    assert await stored(pipeline, run_id) == len(expected) + len(test_data.records["users"])


async def test_a_batch_that_the_database_refused_is_loaded_when_it_no_longer_does(
    pipeline: Pipeline, test_data: TestData
) -> None:
    await pipeline.fetch(
        "ALTER TABLE onpoint_albums ADD CONSTRAINT test_refuses_everything CHECK (id IS NULL) NOT VALID"
    )
    run_id = new_run()
    done = await pipeline.run({"run_id": run_id, "datasets": ["albums"]}, within_s=60)
    assert [dead["stage"] for dead in done["dead"]] == ["loader"]
    await replay_dead_letters(pipeline, run_id)
    async with asyncio.timeout(30):  # the cause is still there: it dies again
        while len(await pipeline.dead_letters_of_run("loader", run_id)) < 2:
            await asyncio.sleep(0.2)
    assert await pipeline.rows("albums", f"_run_id = '{run_id}'") == []
    await pipeline.fetch("ALTER TABLE onpoint_albums DROP CONSTRAINT test_refuses_everything")
    await replay_dead_letters(pipeline, run_id)
    async with asyncio.timeout(30):
        while await pipeline.rows("albums", f"_run_id = '{run_id}'") != test_data.expected("albums"):
            await asyncio.sleep(0.2)
