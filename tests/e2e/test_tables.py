"""A dataset in Delta Lake and one in Iceberg, from the source to the checker, on a stack of its own."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import LocalStack
from shared.settings.object_store import ObjectStoreSettings
from shared.storage.object_store import open_s3
from tests.support.operator import CommandResult, Operator
from tests.support.pipeline import Pipeline
from tests.support.source import SourceServer
from tests.support.tables import FORMATS, TableReader

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(600)]

DATASET = """\
name: {kind}_albums
source:
  name: shop
  kind: api
  base_url: "{url}"
  path: /albums
  pagination: {{kind: page, page_param: _page, size_param: _limit, size: 100, total_header: X-Total-Count, first: 1}}
  requests_per_second: 0
table: onpoint_{kind}_albums
key: [id]
columns:
  - {{name: id, type: int32}}
  - {{name: title, type: string}}
lake: {{table: {kind}}}
formats: [parquet]
"""
NAMES = [f"{kind}_albums" for kind in FORMATS]
ALBUMS = [{"id": n, "userId": 1, "title": f"album {n}"} for n in range(30)]
RUNS = 3


@pytest.fixture(scope="module")
async def whole(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Pipeline, Operator, TableReader]]:
    """Albums, three times: each run has the ones before and ten more."""
    albums = list[Any]()
    datasets = tmp_path_factory.mktemp("datasets")
    async with SourceServer({"albums": albums}) as source:
        for kind in FORMATS:
            text = DATASET.format(kind=kind, url=source.url)
            (datasets / f"{kind}.yaml").write_text(text, encoding="utf-8")
        extra = {
            "ONPOINT_CRAWL_ALLOW_HOSTS": source.allow,
            "ONPOINT_DATASETS_DIR": str(datasets),
            "ONPOINT_LAKE_GRACE_HOURS": "0",
            "ONPOINT_SWEEP_INTERVAL_S": "0",
        }
        with LocalStack(tmp_path_factory.mktemp("stack"), ports="free", extra_env=extra) as stack:
            environment = stack.environment()
            pipeline = Pipeline(environment)
            for number in range(RUNS):
                albums[:] = ALBUMS[: 10 * (number + 1)]
                await pipeline.run({"run_id": f"run-{number}", "datasets": NAMES})
            storage = ObjectStoreSettings.model_validate(
                {
                    "s3_endpoint_url": environment["ONPOINT_S3_ENDPOINT_URL"],
                    "staging_bucket": pipeline.staging_bucket,
                    "lake_bucket": pipeline.lake_bucket,
                    "s3_credentials": f"{environment['AWS_ACCESS_KEY_ID']}:{environment['AWS_SECRET_ACCESS_KEY']}",
                }
            )
            lake = open_s3(storage, pipeline.lake_bucket)
            reader = TableReader(storage, lake, environment["ONPOINT_POSTGRES_DSN"])
            yield pipeline, Operator({**environment, **extra}), reader
            stack.down(wipe=True)


async def done(operator: Operator, *arguments: str) -> CommandResult:
    result = await operator.run(*arguments)
    assert result.code == 0, result.out + result.err
    return result


def rows(reader: TableReader) -> dict[str, list[tuple[str, int]]]:
    return {
        kind: sorted(reader.by_polars(kind, f"{kind}_albums").select("_run_id", "id").rows())
        for kind in FORMATS
    }


async def listed(pipeline: Pipeline) -> None:
    """Until quality has written every listing that a compaction left behind."""
    while await pipeline.fetch("SELECT FROM onpoint_lake.compactions WHERE state <> 'listed'"):
        await asyncio.sleep(0.1)


async def test_the_tables_have_every_row_once_through_replay_compaction_and_sweep(
    whole: tuple[Pipeline, Operator, TableReader], tmp_path: Path
) -> None:
    pipeline, operator, reader = whole
    wanted = [(f"run-{run}", place) for run in range(RUNS) for place in range(10 * (run + 1))]
    assert rows(reader) == dict.fromkeys(FORMATS, wanted)
    for kind in FORMATS:
        assert reader.by_duckdb(kind, f"{kind}_albums", "SELECT count(*) FROM rows") == [(len(wanted),)]
    await done(operator, "verify", "--sweep-age-hours", "1000")
    await done(operator, "datasets", "check", *NAMES)
    states = (await done(operator, "lake", "status", "--json")).json()
    assert [state["tables"][0]["format"] for state in states] == sorted(FORMATS)
    assert all(state["tables"][0]["objects"] == state["objects"] == RUNS for state in states)
    assert "delta, 3 objects" in (await done(operator, "lake", "status")).out
    await pipeline.run({"run_id": "again", "replay_of": "run-2", "from_stage": "s3sink"})
    wanted = sorted([*wanted, *(("again", place) for place in range(30))])
    assert rows(reader) == dict.fromkeys(FORMATS, wanted)
    await done(operator, "verify", "--sweep-age-hours", "1000")
    await done(operator, "lake", "compact", "--json")
    await listed(pipeline)
    assert rows(reader) == dict.fromkeys(FORMATS, wanted)
    await done(operator, "verify", "--sweep-age-hours", "1000")
    assert (await done(operator, "sweep", "--json")).json()["replaced"]["count"] > 0
    assert rows(reader) == dict.fromkeys(FORMATS, wanted)
    await done(operator, "verify", "--sweep-age-hours", "1000")
    await done(operator, "lake", "compact", "--latest", "--json")
    await listed(pipeline)
    assert {name: len(found) for name, found in rows(reader).items()} == dict.fromkeys(FORMATS, 30)
    await done(operator, "verify", "--sweep-age-hours", "1000")
    for kind in FORMATS:
        for engine in ("spark", "trino", "duckdb"):
            ddl = await done(operator, "lake", "ddl", f"{kind}_albums", "--for", engine)
            assert "CREATE OR REPLACE VIEW" in ddl.out
    refused = await operator.run("lake", "ddl", "iceberg_albums", "--for", "athena")
    assert (refused.code, "ONPOINT_ICEBERG_CATALOG_URI" in refused.err) == (2, True)
    page = tmp_path / "lake.html"
    await done(operator, "lake", "status", "--out", str(page))
    assert "A table of iceberg has" in page.read_text(encoding="utf-8")


async def test_a_file_that_left_the_table_is_found_by_the_checker(
    whole: tuple[Pipeline, Operator, TableReader],
) -> None:
    _, operator, reader = whole
    reader.delta("delta_albums").delete()
    found = await operator.run("verify", "--only", "I4", "--json")
    assert found.code == 1
    messages = [one["message"] for one in found.json()["violations"]]
    assert messages
    assert all(message.startswith("it lacks s3://") for message in messages)
