"""`onpoint replay`, `cancel`, `sweep` and `resume` against the whole pipeline."""

from collections.abc import AsyncIterator

import pytest

from tests.e2e.test_whole_way import new_run
from tests.support.operator import Operator
from tests.support.pipeline import Pipeline
from tests.support.records import TestData
from tests.support.source import SourceServer

pytestmark = pytest.mark.e2e


@pytest.fixture
def operator(pipeline: Pipeline) -> Operator:
    return Operator(pipeline.environment)


@pytest.fixture(autouse=True)
async def quick(source: SourceServer) -> AsyncIterator[None]:
    yield
    source.delay_s = 0


async def test_a_run_is_replayed_and_the_old_one_says_by_which(
    pipeline: Pipeline, operator: Operator, test_data: TestData
) -> None:
    old, new = new_run(), new_run()
    assert (await operator.says("run", "albums", "users", "--run-id", old, "--wait")).code == 0

    said = await operator.says(
        "replay", old, "--from", "processor", "--dataset", "albums", "--run-id", new, "--wait", "--json"
    )

    assert said.code == 0, said.err
    assert (said.json()["run_id"], said.json()["status"]) == (new, "succeeded")
    assert list(said.json()["datasets"]) == ["albums"]
    assert await pipeline.rows("albums", f"_run_id = '{new}'") == test_data.expected("albums")
    status = (await operator.says("status", old, "--json")).json()
    assert status["superseded_by"] == new
    assert (await operator.says("status", new, "--json")).json()["replay_of"] == old


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
    said = await operator.says(*words)

    assert (said.code, said.out) == (code, "")
    assert sentence in said.err
    assert said.err.count("\n") == 1


async def test_a_run_is_cancelled_once_and_one_that_is_over_is_not(
    operator: Operator, source: SourceServer
) -> None:
    source.delay_s = 1.0
    run_id = new_run()
    assert (await operator.says("run", "posts", "photos", "--run-id", run_id)).code == 0
    first = None
    while first is None or "there is no run" in first.err:  # until the crawler has accepted it
        first = await operator.says("cancel", run_id)
    waited = await operator.says("cancel", run_id, "--wait", "--json")
    over = await operator.says("cancel", run_id)

    assert (first.code, first.out) == (0, f"run {run_id} is being cancelled: see `onpoint status {run_id}`\n")
    if waited.code == 0:  # else it was over before it could be waited for
        assert waited.json()["status"] == "cancelled"
    assert over.code == 1
    assert f"run {run_id} is over" in over.err
    assert (await operator.says("status", run_id)).code == 1


async def test_a_sweep_says_what_would_go_and_then_removes_just_that(
    pipeline: Pipeline, operator: Operator
) -> None:
    run_id = new_run()
    await pipeline.run({"run_id": run_id, "datasets": ["albums"]})

    def kept() -> list[str]:
        return [key for key in pipeline.keys(pipeline.staging_bucket) if key.startswith(f"runs/{run_id}/")]

    before, lake = kept(), list(pipeline.keys(pipeline.lake_bucket))
    dry = (await operator.says("sweep", "--dry-run", "--older-than-hours", "0", "--json")).json()
    assert (dry["dry_run"], kept()) == (True, before)
    table = await operator.says("sweep", "--dry-run", "--older-than-hours", "0")
    assert "would be removed" in table.out

    said = await operator.says("sweep", "--older-than-hours", "0", "--json")

    assert said.code == 0, said.err
    assert said.json()["total"] == dry["total"]
    assert said.json()["artifacts"]["count"] >= 2
    assert kept() == [key for key in before if key.endswith(".json")]
    assert list(pipeline.keys(pipeline.lake_bucket)) == lake
    assert (await operator.says("sweep", "--older-than-hours", "0")).out == "there is nothing to sweep\n"
    replayed = await operator.says("replay", run_id, "--from", "loader", "--wait", "--json")
    assert replayed.code == 1
    assert {dead["reason"] for dead in replayed.json()["dead"]} == {"object_missing"}


async def test_a_service_of_the_local_stack_is_told_to_go_on(operator: Operator) -> None:
    said = await operator.says("resume", "loader")

    assert (said.code, said.out) == (0, "loader: the brake was not on\n")
