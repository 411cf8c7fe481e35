"""Exports that are combined when their run has ended: found by its listing, whatever happens to the converter and to S3."""

import asyncio
import csv
import gzip
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from deploy.local.stack import LocalStack
from shared.events import ids
from shared.events.decode import encode
from shared.events.models import ExportsCombineRequested
from tests.e2e.test_whole_way import new_run
from tests.support.operator import Operator
from tests.support.pipeline import Pipeline
from tests.support.service_processes import KILLED, ServiceProcesses
from tests.support.source import SourceServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

ROWS = 25
LONG = "x" * 40_000
RECORDS: dict[str, list[dict[str, Any]]] = {
    "notes": [{"id": n, "text": f"note {n}"} for n in range(ROWS)],
    # Two of three batches have no row for the processor to refuse; the text is longer than a cell of Excel.
    "letters": [{"id": n, "text": LONG if n == 15 else "short"} for n in range(ROWS)],
}
FILE = """\
name: {name}
source:
  name: {name}
  kind: api
  base_url: {url}
  path: /{name}
  pagination: {{kind: page, page_param: _page, size_param: _limit, size: 10, total_header: X-Total-Count}}
  requests_per_second: 0
table: c_{name}
key: [id]
columns:
  - {{name: id, type: int64}}
  - {{name: text, type: string}}
formats: [csv, xlsx]
exports: {exports}
"""
WITHIN_S = 60.0


@dataclass
class Site:
    stack: LocalStack
    pipeline: Pipeline
    operator: Operator
    folder: Path

    async def run(self, dataset: str, **request: Any) -> str:
        run_id = new_run()
        await self.pipeline.run({"run_id": run_id, "datasets": [dataset], **request}, within_s=WITHIN_S)
        return run_id

    async def ask(self, run_id: str, dataset: str, name: Any) -> None:
        event = ExportsCombineRequested(run_id=run_id, dataset=dataset, format=name)
        key = ids.combination_id(run_id, dataset, name)
        await self.pipeline.publish("exports.combine.requested", encode(event), key=key.encode())

    async def states(self, run_id: str) -> dict[tuple[str, str], str]:
        rows = await self.pipeline.fetch(
            "SELECT dataset, format, status FROM onpoint_runs.v_combined_exports WHERE run_id = $1", run_id
        )
        return {(row["dataset"], row["format"]): row["status"] for row in rows}

    async def combined(self, run_id: str, dataset: str, formats: tuple[str, ...]) -> list[dict[str, Any]]:
        """The files, once the listing names some in each of the formats."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                files: list[dict[str, Any]] = self.pipeline.listing(run_id)["datasets"][dataset].get(
                    "combined", []
                )
                if {file["format"] for file in files} == set(formats):
                    return files
                await asyncio.sleep(0.2)

    def csv_ids(self, files: list[dict[str, Any]]) -> list[list[int]]:
        texts = [
            gzip.decompress(self.pipeline.read(file["uri"])).decode()
            for file in files
            if file["format"] == "csv"
        ]
        return [[int(row["id"]) for row in csv.DictReader(io.StringIO(text, newline=""))] for text in texts]


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("files")
    async with SourceServer(RECORDS) as source:
        for name, exports in (("notes", "{max_rows: 20}"), ("letters", "{one_file: true}")):
            (folder / f"{name}.yaml").write_text(FILE.format(name=name, url=source.url, exports=exports))
        extra = {
            "ONPOINT_DATASETS_DIR": str(folder),
            "ONPOINT_CRAWL_ALLOW_HOSTS": source.allow,
            "ONPOINT_CRAWL_BATCH_ROWS": "10",
        }
        with LocalStack(tmp_path_factory.mktemp("stack"), extra_env=extra) as stack:
            environment = {**stack.environment(), **extra}
            yield Site(stack, Pipeline(environment), Operator(environment), folder)
            stack.down(wipe=True)


async def test_the_listing_of_a_run_names_its_combined_files(site: Site) -> None:
    run_id = await site.run("notes")
    files = await site.combined(run_id, "notes", ("csv", "xlsx"))
    assert site.csv_ids(files) == [list(range(20)), list(range(20, ROWS))]
    sheets = [
        openpyxl.load_workbook(io.BytesIO(site.pipeline.read(file["uri"]))).worksheets[0]
        for file in files
        if file["format"] == "xlsx"
    ]
    rows = [row for sheet in sheets for row in sheet.iter_rows(min_row=2, values_only=True)]
    assert rows == [(n, f"note {n}") for n in range(ROWS)]
    status = await site.operator.run("status", run_id)
    assert (status.code, status.out.count("2 files: s3://")) == (0, 2)
    checked = await site.operator.run("verify", run_id)
    assert checked.code == 0, checked.out


async def test_asked_twice_it_is_as_asked_once(site: Site) -> None:
    run_id = await site.run("notes", formats=["csv"])
    before = await site.combined(run_id, "notes", ("csv",))
    await site.pipeline.publish_again("exports.combine.requested", run_id)
    await site.pipeline.publish_again("exports.combined", run_id)
    checked = await verified(site, run_id)
    assert checked.code == 0, checked.out
    assert await site.combined(run_id, "notes", ("csv",)) == before
    folder = f"exports/{run_id}/notes/csv/combined/"
    found = [key for key in site.pipeline.keys(site.pipeline.lake_bucket) if key.startswith(folder)]
    assert len(found) == len(before) + 1


async def verified(site: Site, run_id: str) -> Any:
    """What `verify` says once every group is at the end of its topics."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            checked = await site.operator.run("verify", run_id)
            if "not handled" not in checked.out:
                return checked


@pytest.mark.long
@pytest.mark.parametrize("point", ["combined_put", "combined"])
async def test_a_converter_that_is_killed_half_way_leaves_the_rest_to_the_next(
    site: Site, tmp_path: Path, point: str
) -> None:
    await asyncio.to_thread(site.stack.stop, "converter")
    try:
        with ServiceProcesses(site.stack, tmp_path) as processes:
            dying = processes.start("converter", CRASH_AT=f"converter.{point}:1")
            run_id = await site.run("notes", formats=["csv"])
            assert await dying.exited(WITHIN_S) == KILLED
    finally:
        await asyncio.to_thread(site.stack.start, "converter")
    files = await site.combined(run_id, "notes", ("csv",))
    assert site.csv_ids(files) == [list(range(20)), list(range(20, ROWS))]
    checked = await verified(site, run_id)
    assert checked.code == 0, checked.out


@pytest.mark.long
async def test_while_s3_is_away_it_waits(site: Site) -> None:
    run_id = await site.run("notes", formats=["csv"])
    before = await site.combined(run_id, "notes", ("csv",))
    await asyncio.to_thread(site.stack.stop, "seaweedfs")
    await site.ask(run_id, "notes", "json")
    await asyncio.sleep(20)
    await asyncio.to_thread(site.stack.start, "seaweedfs")
    files = await site.combined(run_id, "notes", ("csv", "json"))
    assert [file for file in files if file["format"] == "csv"] == before
    lines = [
        gzip.decompress(site.pipeline.read(f["uri"])).splitlines() for f in files if f["format"] == "json"
    ]
    assert [json.loads(line)["id"] for part in lines for line in part] == list(range(ROWS))
    assert await site.states(run_id) == {("notes", "csv"): "done", ("notes", "json"): "done"}


async def test_a_format_alone_is_made_by_a_replay_and_combined_too(site: Site) -> None:
    run_id = await site.run("notes", formats=["csv"])
    asked = await site.operator.run(
        "replay", run_id, "--from", "converter", "--formats", "xlsx", "--wait", "--json"
    )
    assert asked.code == 0, asked.err
    files = await site.combined(asked.json()["run_id"], "notes", ("xlsx",))
    assert sum(file["rows"] for file in files) == ROWS
    listed = site.pipeline.listing(asked.json()["run_id"])["datasets"]["notes"]["exports"]
    assert {file["format"] for file in listed} == {"xlsx"}


async def test_a_format_that_cannot_be_combined_is_told_and_leaves_run_and_formats(site: Site) -> None:
    run_id = await site.run("letters")
    files = await site.combined(run_id, "letters", ("csv",))
    assert site.csv_ids(files) == [list(range(ROWS))]
    async with asyncio.timeout(WITHIN_S):
        while await site.states(run_id) != {("letters", "csv"): "done", ("letters", "xlsx"): "failed"}:
            await asyncio.sleep(0.2)
    status = await site.operator.run("status", run_id)
    assert "letters xlsx  failed: column text: a text has 40,000 characters" in status.out
    assert f"onpoint exports combine {run_id} tries again" in status.out
    [dead] = await site.operator.dead_letters("--run", run_id)
    assert dead["original"]["topic"] == "exports.combine.requested"
    checked = await verified(site, run_id)
    assert checked.code == 0, checked.out


async def test_the_command_makes_another_format_and_the_listing_names_it(site: Site) -> None:
    run_id = await site.run("notes", formats=["csv"])
    await site.combined(run_id, "notes", ("csv",))
    made = await site.operator.run("exports", "combine", run_id, "--formats", "parquet", "--json")
    assert made.code == 0, made.err
    files = await site.combined(run_id, "notes", ("csv", "parquet"))
    named = [file["uri"].rpartition("/")[2] for file in files if file["format"] == "parquet"]
    assert [file["name"] for file in made.json()[0]["files"]] == named


async def test_a_cancelled_run_is_not_combined(site: Site) -> None:
    run_id = new_run()
    site.pipeline.s3.put_object(
        Bucket=site.pipeline.staging_bucket, Key=f"runs/{run_id}/cancelled", Body=b"{}"
    )
    done = await site.pipeline.run({"run_id": run_id, "datasets": ["notes"]}, within_s=WITHIN_S)
    assert done["status"] == "cancelled"
    other = await site.run("notes", formats=["csv"])
    await site.combined(other, "notes", ("csv",))
    assert await site.states(run_id) == {}
