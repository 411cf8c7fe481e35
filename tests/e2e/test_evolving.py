"""A dataset whose records gain fields while a run goes on: table, lake, exports and the checker have them."""

import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from deploy.local.stack import LocalStack
from tests.e2e.test_whole_way import new_run
from tests.support.operator import Operator
from tests.support.pipeline import Pipeline
from tests.support.source import SourceServer

pytestmark = [pytest.mark.e2e, pytest.mark.long]

WITHIN_S = 120

FILE = """\
name: {name}
source:
  name: src_{name}
  kind: api
  base_url: {url}
  path: /{name}
  pagination: {{kind: page, page_param: _page, size_param: _limit, size: 10, total_header: X-Total-Count, first: 1}}
  requests_per_second: 0
table: t_{name}
key: [id]
columns:
  - {{name: id, type: int64}}
  - {{name: name, type: string}}
formats: [csv, parquet]
max_rejected_ratio: 1
schema: {contract}
"""

EVOLVING: list[dict[str, Any]] = [
    {"id": n, "name": f"n{n}"}
    | ({"loyaltyPoints": n} if n >= 10 else {})
    | ({"Home Address": {"city": "Köln", "zip": n}, "vip": n % 2 == 0, "share": n / 4} if n >= 20 else {})
    | (
        {"name ": "odd", "ID": n, "_run_id": "x", "ctid": 1, "a" * 300: 1, "nothing": None, "\x00": 1}
        if n == 25
        else {}
    )
    for n in range(30)
]
REJECTING = [{"id": n, "name": "x"} | ({"more": 1} if n == 3 else {"none": None}) for n in range(12)]
WIDENING: list[dict[str, Any]] = [
    {
        "id": n,
        "name": "x" if n < 20 else n,
        "count": n if n < 10 else n + 0.1 if n < 20 else f"{n} pieces",
        "ok": n < 5,
    }
    for n in range(30)
]
COLLECTIONS: dict[str, list[Any]] = {"evolving": EVOLVING, "rejecting": REJECTING, "widening": WIDENING}
CONTRACTS = {
    "evolving": "{new_columns: evolve}",
    "rejecting": "{new_columns: reject}",
    "widening": "{new_columns: evolve, types: widen}",
}


@dataclass
class Site:
    folder: Path
    pipeline: Pipeline
    operator: Operator
    sources: Path

    async def run(self, name: str, **more: Any) -> tuple[str, dict[str, Any]]:
        run_id = new_run()
        request = {"run_id": run_id, "datasets": [name], **more}
        return run_id, await self.pipeline.run(request, within_s=WITHIN_S)

    async def check(self, name: str, *run_ids: str) -> str:
        """What the checker says, against the source's own records."""
        file = self.sources / f"{name}.jsonl"
        file.write_text("".join(json.dumps(record) + "\n" for record in COLLECTIONS[name]))
        words = (
            "verify",
            *run_ids,
            "--source",
            f"{name}={file}",
            "--only",
            "I1",
            "--only",
            "I2",
            "--only",
            "I3",
        )
        found = await self.operator.run(*words)
        return "" if found.code == 0 else (found.out + found.err)[-3000:]

    async def rows(self, name: str) -> list[dict[str, Any]]:
        found = await self.pipeline.fetch(f"SELECT * FROM t_{name} ORDER BY id")
        return [
            {k: v for k, v in dict(row).items() if k[0] != "_" and k != "etl_processed_at"} for row in found
        ]

    def lake(self, run_id: str, name: str) -> list[Any]:
        entries = self.pipeline.listing(run_id)["datasets"][name]["objects"]
        return [pq.read_table(io.BytesIO(self.pipeline.read(entry["uri"]))) for entry in entries]


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder, sources = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("sources")
    async with SourceServer(COLLECTIONS) as source:
        for name, contract in CONTRACTS.items():
            text = FILE.format(name=name, url=source.url, contract=contract)
            (folder / f"{name}.yaml").write_text(text)
        extra = {
            "ONPOINT_DATASETS_DIR": str(folder),
            "ONPOINT_CRAWL_ALLOW_HOSTS": source.allow,
            "ONPOINT_CRAWL_BATCH_ROWS": "10",
        }
        stack = LocalStack(tmp_path_factory.mktemp("stack"), extra_env=extra)
        with stack:
            environment = {**stack.environment(), **extra}
            yield Site(folder, Pipeline(environment), Operator(environment), sources)
            await asyncio.to_thread(stack.down, wipe=True)


async def test_new_fields_become_columns_everywhere(site: Site) -> None:
    run_id, done = await site.run("evolving")
    assert (done["status"], done["reason"]) == ("succeeded", None)
    rows = await site.rows("evolving")
    assert [row["loyalty_points"] for row in rows] == [None] * 10 + list(range(10, 30))
    assert json.loads(rows[20]["home_address"]) == {"city": "Köln", "zip": 20}
    assert (rows[21]["vip"], rows[21]["share"]) == (False, 5.25)
    [table] = site.lake(run_id, "evolving")
    assert {"loyalty_points", "home_address", "vip", "share"} < set(table.column_names)
    assert table["loyalty_points"].null_count == 10
    assert await site.check("evolving", run_id) == ""
    warnings = "\n".join(done["warnings"])
    assert "loyalty_points (int64) is added" in warnings
    assert "left out: " in warnings


async def test_rows_with_unknown_fields_are_refused(site: Site) -> None:
    run_id, done = await site.run("rejecting")
    assert done["datasets"]["rejecting"]["rejected_by_reason"] == {"new_field": 1}
    [line] = site.pipeline.quarantine(run_id, "rejecting")
    assert line["detail"] == "more: no column is for this field"
    assert await site.check("rejecting", run_id) == ""


async def test_columns_become_wider(site: Site) -> None:
    run_id, done = await site.run("widening")
    assert (done["status"], done["reason"]) == ("succeeded", None)
    rows = await site.rows("widening")
    assert [row["count"] for row in rows][8:12] == ["8", "9", "10.1", "11.1"]
    assert rows[29]["count"] == "29 pieces"
    assert rows[29]["name"] == "29"
    assert await site.check("widening", run_id) == ""


async def test_done_again_nothing_changes(site: Site) -> None:
    before = await site.rows("evolving")
    run_id, done = await site.run("evolving")
    assert (done["status"], done["reason"]) == ("succeeded", None)
    assert await site.rows("evolving") == before
    assert await site.check("evolving") == ""
    await check_what_people_ask_for(site, run_id)
    versions = [
        key for key in site.pipeline.keys(site.pipeline.staging_bucket) if key.startswith("schemas/evolving/")
    ]
    again, _ = await site.run("evolving", replay_of=run_id, from_stage="loader")
    assert again
    reprocessed, done = await site.run("evolving", replay_of=run_id, from_stage="processor")
    assert (done["status"], done["reason"]) == ("succeeded", None)
    assert [table.schema for table in site.lake(reprocessed, "evolving")] == [
        table.schema for table in site.lake(run_id, "evolving")
    ]
    assert await site.check("evolving") == ""
    assert versions == [
        key for key in site.pipeline.keys(site.pipeline.staging_bucket) if key.startswith("schemas/evolving/")
    ]


async def check_what_people_ask_for(site: Site, run_id: str) -> None:
    """The exports of all batches in one file, and how file, versions and table differ."""
    combined = await site.operator.run("exports", "combine", run_id, "--formats", "csv")
    assert combined.code == 0, combined.err
    prefix = f"exports/{run_id}/evolving/csv/combined/evolving-"
    [key] = [key for key in site.pipeline.keys(site.pipeline.lake_bucket) if key.startswith(prefix)]
    packed = site.pipeline.read(f"s3://{site.pipeline.lake_bucket}/{key}")
    header, *lines = gzip.decompress(packed).decode().splitlines()
    assert set(header.split(",")) > {"id", "name", "loyalty_points", "home_address", "vip", "share"}
    assert len(lines) == len(EVOLVING)
    found = await site.operator.run("datasets", "diff", "evolving", "--json")
    differs = {column["name"]: column["differs"] for column in found.json()["columns"]}
    assert (differs["id"], differs["vip"]) == ([], ["added"])
    assert found.json()["versions"][0]["version"] == 2
    told = await site.operator.run("datasets", "diff", "evolving")
    assert "+ loyalty_points int64, from loyaltyPoints" in told.out
    same = await site.operator.run("datasets", "diff", "evolving", "--run", run_id, "--run", run_id)
    assert same.out.endswith("both runs have the same columns\n")
    assert (await site.operator.run("datasets", "diff", "evolving", "--run", run_id)).code == 2
