"""Transforms on the real components: what they leave, filter, add and refuse arrives, and the checker finds it right."""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.local.stack import LocalStack
from tests.e2e.test_whole_way import new_run
from tests.support.operator import Operator
from tests.support.pipeline import Pipeline
from tests.support.source import SourceServer

pytestmark = pytest.mark.e2e

WITHIN_S = 120
SECRET = "a secret of the tests"  # noqa: S105 - of the tests alone
PEOPLE: list[dict[str, Any]] = [
    {
        "id": n,
        "mail": f"Person{n}@Example.ORG",
        "tags": f"a,b{n}" if n % 3 == 0 else "a",
        "active": n % 10 != 9,
    }
    for n in range(60)
]
PEOPLE[7] = {"id": "seven", "mail": "x", "tags": "a", "active": True}
PEOPLE[8] = {"id": 8, "mail": None, "tags": "a", "active": True}

HEAD = """\
name: {name}
source:
  name: src_{name}
  kind: api
  base_url: {url}
  path: /{name}
  pagination: {{kind: page, page_param: _page, size_param: _limit, size: 10, total_header: X-Total-Count, first: 1}}
  requests_per_second: 0
table: t_{name}
max_rejected_ratio: 0.1
"""

PEOPLE_FILE = (
    HEAD
    + """\
key: [mail, tag]
columns:
  - {{name: id, type: int64}}
  - {{name: mail, type: string}}
  - {{name: tag, type: string, computed: true}}
inputs:
  - {{name: tags, type: string}}
  - {{name: active, type: boolean}}
transform:
  - sql: |
      SELECT *, lower(mail) AS mail, string_split(tags, ',') AS tag
      FROM batch WHERE active
  - explode: tag
"""
)


@dataclass
class Site:
    folder: Path
    source: SourceServer
    pipeline: Pipeline
    operator: Operator
    sources: Path
    stack: LocalStack

    def write(self, name: str, text: str) -> None:
        (self.folder / f"{name}.yaml").write_text(text.format(name=name, url=self.source.url))

    async def run(self, name: str) -> tuple[str, dict[str, Any]]:
        run_id = new_run()
        done = await self.pipeline.run({"run_id": run_id, "datasets": [name]}, within_s=WITHIN_S)
        return run_id, done

    async def check(self, name: str, run_id: str) -> str:
        """What the checker says of a run, against the source's own records."""
        file = self.sources / f"{name}.jsonl"
        file.write_text("".join(json.dumps(record) + "\n" for record in COLLECTIONS[name]))
        words = ("verify", run_id, "--source", f"{name}={file}", "--only", "I1", "--only", "I2")
        found = await self.operator.run(*words)
        return "" if found.code == 0 else found.out + found.err


COLLECTIONS: dict[str, list[Any]] = {
    "people": PEOPLE,
    "masked": [{"id": n, "name": f" n{n} "} for n in range(30)],
    "failing": [],
    "slow": [{"id": n, "name": f"n{n}"} for n in range(60)],
}


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder, sources = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("sources")
    async with SourceServer(COLLECTIONS) as source:
        extra = {
            "ONPOINT_DATASETS_DIR": str(folder),
            "ONPOINT_CRAWL_ALLOW_HOSTS": source.allow,
            "ONPOINT_CRAWL_BATCH_ROWS": "10",
            "ONPOINT_MASK_SECRET": SECRET,
            "ONPOINT_TRANSFORM_TIMEOUT_S": "10",
        }
        (folder / "people.yaml").write_text(PEOPLE_FILE.format(name="people", url=source.url))
        stack = LocalStack(tmp_path_factory.mktemp("stack"), ports="free", extra_env=extra)
        with stack:
            environment = {**stack.environment(), **extra}
            yield Site(folder, source, Pipeline(environment), Operator(environment), sources, stack)
            stack.down(wipe=True)


async def test_what_a_transform_leaves_arrives_and_the_books_and_the_checker_agree(site: Site) -> None:
    run_id, done = await site.run("people")
    assert done["status"] == "succeeded", done["reason"]
    summary = done["datasets"]["people"]
    kept = [p for p in PEOPLE if p["active"] and p["id"] != "seven" and p["mail"] is not None]
    expected = sorted((p["id"], p["mail"].lower(), tag) for p in kept for tag in p["tags"].split(","))
    rows = await site.pipeline.fetch("SELECT id, mail, tag FROM t_people ORDER BY id, tag")
    assert [tuple(row) for row in rows] == expected
    assert (summary["rows_crawled"], summary["rows_filtered"]) == (60, 6)
    assert summary["rows_added"] == len(expected) - len(kept)
    assert summary["rejected_by_reason"] == {"no_key": 1, "type": 1}
    assert summary["rows_loaded"] == summary["rows_stored"] == len(expected)
    refused = {line["source_position"]: line["raw"] for line in site.pipeline.quarantine(run_id, "people")}
    assert {place: json.loads(raw) for place, raw in refused.items()} == {7: PEOPLE[7], 8: PEOPLE[8]}
    assert await site.check("people", run_id) == ""


async def test_a_preview_shows_lines_typed_transformed_and_refused_and_writes_nothing(site: Site) -> None:
    run_id, _ = await site.run("people")
    before = set(site.pipeline.keys(site.pipeline.staging_bucket))
    found = await site.operator.run(
        "datasets", "preview", "people", "--run", run_id, "--rows", "10", "--json"
    )
    assert found.code == 0, found.err
    lines = {line["position"]: line for line in found.json()["lines"]}
    assert len(lines) == 10
    assert [row["tag"] for row in lines[0]["rows"]] == ["a", "b0"]
    assert lines[0]["typed"] == {"id": 0, "mail": "Person0@Example.ORG", "tags": "a,b0", "active": True}
    assert lines[7]["refused"]["reason"] == "type"
    assert lines[8]["refused"]["reason"] == "no_key"
    assert lines[9]["filtered"]
    assert set(site.pipeline.keys(site.pipeline.staging_bucket)) == before
    told = await site.operator.run("datasets", "preview", "people")
    assert told.code == 0, told.err
    assert "  refused  no_key: key column mail is null after the transform" in told.out


CODE = """\
import os
import time

import polars as pl


def tidy(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col("name").str.strip_chars())


def slow(rows: pl.DataFrame) -> pl.DataFrame:
    time.sleep(1.5)
    return rows.with_columns(pl.col("name").str.to_uppercase()).filter(pl.col("id") != 33)


def fail(rows: pl.DataFrame) -> pl.DataFrame:
    what = rows["name"][0]
    if rows["id"].min() >= 10 and rows["id"].max() < 20:
        if what == "loop":
            while True:
                pass
        if what == "exit":
            os._exit(1)
        if what == "memory":
            bytearray(1 << 40)
        raise ValueError("bad luck")
    return rows
"""

MASKED_FILE = (
    HEAD
    + """\
key: [id]
columns:
  - {{name: id, type: int64}}
  - {{name: name, type: string}}
transform:
  - {{python: "mine:{function}", frame: polars}}
  - mask: {{{{name: hash}}}}
"""
)


def masked(value: str) -> str:
    return hmac.digest(SECRET.encode(), value.encode(), "sha256").hex()


async def migrated(site: Site, name: str, function: str) -> None:
    (site.folder / "mine.py").write_text(CODE, encoding="utf-8")
    site.write(name, MASKED_FILE.replace("{function}", function).replace("{{{{", "{{").replace("}}}}", "}}"))
    found = await site.operator.run("migrate", "--warn-only")
    assert found.code == 0, found.err


async def test_a_function_and_a_mask_are_applied_and_the_checker_agrees(site: Site) -> None:
    await migrated(site, "masked", "tidy")
    run_id, done = await site.run("masked")
    assert done["status"] == "succeeded", done["reason"]
    expected = [(n, masked(f"n{n}")) for n in range(30)]
    rows = await site.pipeline.fetch("SELECT id, name FROM t_masked ORDER BY id")
    assert [tuple(row) for row in rows] == expected
    assert await site.check("masked", run_id) == ""
    await site.pipeline.fetch("UPDATE t_masked SET name = 'n3' WHERE id = 3")
    assert "id=3" in await site.check("masked", run_id), "the checker sees what a transform did not make"


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("raise", "it raised ValueError: bad luck"),
        ("exit", "its process ended itself with code 1"),
        ("memory", "it needs more than the 1024 MiB"),
        ("loop", "it took longer than 10 s"),
    ],
)
async def test_a_function_that_fails_costs_its_batch_and_nothing_else(
    site: Site, what: str, said: str
) -> None:
    COLLECTIONS["failing"][:] = [{"id": n, "name": what} for n in range(30)]
    await migrated(site, "failing", "fail")
    run_id, done = await site.run("failing")
    assert done["status"] == "partial"
    assert said in done["reason"]
    summary = done["datasets"]["failing"]
    assert (summary["batches_dead"], summary["rejected_by_reason"]) == (1, {"transform": 10})
    rows = await site.pipeline.fetch("SELECT id FROM t_failing ORDER BY id")
    assert [row["id"] for row in rows] == [*range(10), *range(20, 30)]
    [letter] = await site.operator.dead_letters("--run", run_id)
    assert letter["reason"] == "transform"
    assert await site.check("failing", run_id) == ""


def hosts() -> set[int]:
    return {
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if "shared.transforms.host" in (process.info["cmdline"] or ())
    }


@pytest.mark.long
async def test_a_processor_that_is_killed_half_way_and_events_that_come_twice_change_nothing(
    site: Site,
) -> None:
    await migrated(site, "slow", "slow")
    running = asyncio.create_task(site.run("slow"))
    async with asyncio.timeout(WITHIN_S):
        while not (children := site.stack.process("processor").children(recursive=True)):
            await asyncio.sleep(0.1)
    await asyncio.sleep(1)
    site.stack.kill("processor")
    run_id, done = await running
    assert done["status"] == "succeeded", done["reason"]
    assert not hosts() & {child.pid for child in children}, "what it started has ended with it"
    await site.pipeline.publish_again("batch.crawled", run_id)
    await asyncio.sleep(5)
    rows = await site.pipeline.fetch("SELECT id, name FROM t_slow ORDER BY id")
    assert [tuple(row) for row in rows] == [(n, masked(f"N{n}")) for n in range(60) if n != 33]
    assert done["datasets"]["slow"]["rows_filtered"] == 1
    assert await site.check("slow", run_id) == ""
