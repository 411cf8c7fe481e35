"""`onpoint replay`, `cancel`, `sweep` and `resume` against the whole pipeline."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from deploy.local.stack import LocalStack
from tests.e2e.test_whole_way import new_run
from tests.support.operator import Operator
from tests.support.pipeline import Pipeline
from tests.support.records import TestData
from tests.support.source import SourceServer

pytestmark = pytest.mark.e2e

SLOW_S = 8.0
"""Of each answer: a command takes some seconds on a busy machine, and the run must not be over before it."""


@pytest.fixture
def operator(pipeline: Pipeline) -> Operator:
    return Operator(pipeline.environment)


@pytest.fixture(autouse=True)
async def quick(source: SourceServer) -> AsyncIterator[None]:
    yield
    source.delay_s = 0


async def test_a_run_is_replayed_and_the_old_one_names_the_new_one(
    pipeline: Pipeline, operator: Operator, test_data: TestData
) -> None:
    old, new = new_run(), new_run()
    assert (await operator.run("run", "albums", "users", "--run-id", old, "--wait")).code == 0

    result = await operator.run(
        "replay", old, "--from", "processor", "--dataset", "albums", "--run-id", new, "--wait", "--json"
    )

    assert result.code == 0, result.err
    assert (result.json()["run_id"], result.json()["status"]) == (new, "succeeded")
    assert list(result.json()["datasets"]) == ["albums"]
    assert await pipeline.rows("albums", f"_run_id = '{new}'") == test_data.expected("albums")
    status = (await operator.run("status", old, "--json")).json()
    assert status["superseded_by"] == new
    assert (await operator.run("status", new, "--json")).json()["replay_of"] == old


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("replay", "never-was", "--from", "loader"), 1, "there is no run never-was"),
        (("replay", "never-was", "--from", "laoder"), 2, "did you mean loader?"),
        (("replay", "never-was"), 2, "missing option '--from'"),
        (("replay", "a b", "--from", "loader"), 2, "cannot be a run id"),
        (("replay", "x", "--from", "loader", "--run-id", "x"), 2, "cannot have the id of the old one"),
        (("cancel", "never-was"), 1, "there is no run never-was"),
        (("cancel", "../x"), 2, "cannot be a run id"),
        (("resume", "laoder"), 2, "did you mean loader?"),
        (("sweep", "--older-than-hours", "-1"), 2, "--older-than-hours"),
    ],
)
async def test_what_cannot_be_done_is_one_sentence(
    operator: Operator, words: tuple[str, ...], code: int, sentence: str
) -> None:
    result = await operator.run(*words)

    assert (result.code, result.out) == (code, "")
    assert sentence in result.err
    assert result.err.count("\n") == 1


async def known(pipeline: Pipeline, run_id: str, *, taken_up: bool = True) -> None:
    """Returns when the ledger knows the run."""
    async with asyncio.timeout(60):
        while not await pipeline.fetch(
            "SELECT FROM onpoint_runs.v_runs WHERE run_id = $1 AND (started_at IS NOT NULL OR NOT $2)",
            run_id,
            taken_up,
        ):
            await asyncio.sleep(0.1)


async def test_a_run_is_known_from_its_request_on_and_can_be_cancelled_before_it_is_taken_up(
    stack: LocalStack, pipeline: Pipeline, operator: Operator
) -> None:
    stack.stop("crawler")
    try:
        run_id = new_run()
        assert (await operator.run("run", "albums", "users", "--run-id", run_id)).code == 0
        await known(pipeline, run_id, taken_up=False)
        status = await operator.run("status", run_id)
        listed = await operator.run("runs", "--limit", "1")
        cancelled = await operator.run("cancel", run_id)
    finally:
        stack.start("crawler")
    ended = await operator.run("cancel", run_id, "--wait", "--json")

    assert (status.code, status.err) == (0, "")
    assert "asked, waiting for the crawler" in status.out
    assert "albums" in status.out
    assert run_id in listed.out
    assert "asked" in listed.out
    assert cancelled.out == (
        f"run {run_id} is marked as cancelled: it ends as soon as the crawler takes it up; "
        f"see `onpoint status {run_id}`\n"
    )
    assert (ended.code or ended.json()["status"]) in {1, "cancelled"}
    assert (await operator.run("status", run_id, "--json")).json()["status"] == "cancelled"


async def test_the_status_shows_that_a_run_is_crawled_before_its_first_batch_is_done(
    pipeline: Pipeline, operator: Operator, source: SourceServer
) -> None:
    source.delay_s = SLOW_S
    run_id = new_run()
    assert (await operator.run("run", "posts", "--run-id", run_id)).code == 0
    await known(pipeline, run_id)
    status = await operator.run("status", run_id)
    source.delay_s = 0

    assert "crawling: " in status.out
    await operator.run("cancel", run_id, "--wait")


async def test_a_run_is_cancelled_once_and_one_that_is_over_is_not(
    pipeline: Pipeline, operator: Operator, source: SourceServer
) -> None:
    source.delay_s = SLOW_S
    run_id = new_run()
    assert (await operator.run("run", "posts", "photos", "--run-id", run_id)).code == 0
    await known(pipeline, run_id)
    first = await operator.run("cancel", run_id)
    waited = await operator.run("cancel", run_id, "--wait", "--json")
    over = await operator.run("cancel", run_id)

    assert (first.code, first.out) == (0, f"run {run_id} is being cancelled: see `onpoint status {run_id}`\n")
    if waited.code == 0:  # else it was over before it could be waited for
        assert waited.json()["status"] == "cancelled"
    assert over.code == 1
    assert f"run {run_id} is over" in over.err
    assert (await operator.run("status", run_id)).code == 1


async def test_a_dry_sweep_lists_what_would_go_and_the_sweep_removes_just_that(
    pipeline: Pipeline, operator: Operator
) -> None:
    run_id = new_run()
    await pipeline.run({"run_id": run_id, "datasets": ["albums"]})

    def staged() -> list[str]:
        return [key for key in pipeline.keys(pipeline.staging_bucket) if key.startswith(f"runs/{run_id}/")]

    before, lake = staged(), list(pipeline.keys(pipeline.lake_bucket))
    dry = (await operator.run("sweep", "--dry-run", "--older-than-hours", "0", "--json")).json()
    assert (dry["dry_run"], staged()) == (True, before)
    table = await operator.run("sweep", "--dry-run", "--older-than-hours", "0")
    assert "would be removed" in table.out

    result = await operator.run("sweep", "--older-than-hours", "0", "--json")

    assert result.code == 0, result.err
    assert result.json()["total"] == dry["total"]
    assert result.json()["artifacts"]["count"] >= 2
    assert staged() == [key for key in before if key.endswith(".json")]
    assert list(pipeline.keys(pipeline.lake_bucket)) == lake
    assert (await operator.run("sweep", "--older-than-hours", "0")).out == "there is nothing to sweep\n"
    replayed = await operator.run("replay", run_id, "--from", "loader", "--wait", "--json")
    assert replayed.code == 1
    assert {dead["reason"] for dead in replayed.json()["dead"]} == {"object_missing"}


async def test_a_service_of_the_local_stack_is_resumed(operator: Operator) -> None:
    result = await operator.run("resume", "loader")

    assert (result.code, result.out) == (0, "loader: the circuit breaker was not open\n")
