"""Runs, compaction, sweep and the checker from outside, on a stack of its own: what the lake has is the same throughout."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import LocalStack
from tests.support.operator import CommandResult, Operator
from tests.support.pipeline import Pipeline
from tests.support.source import SourceServer

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(600)]

ALBUMS = [{"id": n, "userId": 1, "title": f"album {n}"} for n in range(30)]
RUNS = 4


@pytest.fixture(scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Pipeline, Operator]]:
    """Albums, four times: each run has the ones before and ten more."""
    albums = list[Any]()
    async with SourceServer({"albums": albums}) as source:
        extra = {
            "ONPOINT_CRAWL_ALLOW_HOSTS": source.allow,
            "ONPOINT_SOURCE_JSONPLACEHOLDER_URL": source.url,
            "ONPOINT_SOURCE_JSONPLACEHOLDER_REQUESTS_PER_SECOND": "0",
            "ONPOINT_LAKE_GRACE_HOURS": "0",
            "ONPOINT_SWEEP_INTERVAL_S": "0",
        }
        with LocalStack(tmp_path_factory.mktemp("stack"), ports="free", extra_env=extra) as stack:
            pipeline = Pipeline(stack.environment())
            for number in range(RUNS):
                albums[:] = ALBUMS[: 10 * number]
                await pipeline.run({"run_id": f"run-{number}", "datasets": ["albums"]})
            yield pipeline, Operator({**stack.environment(), **extra})
            stack.down(wipe=True)


async def assert_whole(operator: Operator) -> None:
    found = await operator.run("verify", "--json", "--sweep-age-hours", "1000")
    assert found.code == 0, found.out + found.err


async def assert_done(call: Any) -> CommandResult:
    result: CommandResult = await call
    assert result.code == 0, result.out + result.err
    return result


def objects(pipeline: Pipeline) -> set[str]:
    return {key for key in pipeline.keys(pipeline.lake_bucket) if key.startswith("albums/")}


def folders(keys: set[str]) -> int:
    return len({key.rpartition("/")[0] for key in keys})


async def listed(pipeline: Pipeline) -> None:
    """Until quality has written every listing that a compaction left behind."""
    while await pipeline.fetch("SELECT FROM onpoint_lake.compactions WHERE state <> 'listed'"):
        await asyncio.sleep(0.1)


async def test_compacted_swept_and_reduced_the_lake_is_still_what_the_checker_expects(
    whole: tuple[Pipeline, Operator], tmp_path: Path
) -> None:
    pipeline, operator = whole
    await assert_whole(operator)
    before = objects(pipeline)
    [state] = (await assert_done(operator.run("lake", "status", "--json"))).json()
    assert (state["objects"], state["rows"], state["small_share"]) == (len(before), 60, 1.0)
    planned = (await assert_done(operator.run("lake", "compact", "--dry-run", "--json"))).json()
    assert planned["total"]["objects_before"] == len(before) == RUNS - 1
    assert objects(pipeline) == before
    done = (await assert_done(operator.run("lake", "compact", "--json"))).json()
    assert done["total"]["objects_before"] == len(before)
    await listed(pipeline)
    await assert_whole(operator)
    assert before < objects(pipeline)
    swept = (await assert_done(operator.run("sweep", "--json"))).json()
    assert swept["replaced"]["count"] == len(before)
    [state] = (await assert_done(operator.run("lake", "status", "--json"))).json()
    assert (state["objects"], state["score"]) == (folders(before), 100)
    assert "score" in (await assert_done(operator.run("lake", "status"))).out
    for engine in ("athena", "spark", "trino", "duckdb"):
        ddl = await assert_done(operator.run("lake", "ddl", "albums", "--for", engine))
        assert "CREATE OR REPLACE VIEW" in ddl.out
    unknown = await operator.run("lake", "compact", "--dataset", "album")
    assert (unknown.code, "did you mean albums" in unknown.err) == (2, True)
    compacted = objects(pipeline)
    assert (len(compacted), compacted & before) == (folders(before), set())
    await assert_whole(operator)
    latest = (await assert_done(operator.run("lake", "compact", "--latest", "--json"))).json()
    assert latest["total"]["rows_left_out"] == 10 + 20
    await listed(pipeline)
    await assert_whole(operator)
    await assert_done(operator.run("sweep", "--json"))
    await assert_whole(operator)
    page = tmp_path / "lake.html"
    await assert_done(operator.run("lake", "status", "--out", str(page)))
    assert "<svg" in page.read_text(encoding="utf-8")
