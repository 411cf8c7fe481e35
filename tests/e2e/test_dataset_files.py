"""Dataset files of users: odd keys, a bad file among good ones, and what is added or changed while the stack runs."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from deploy.local.stack import LocalStack
from tests.e2e.test_whole_way import new_run
from tests.support import source as faults
from tests.support.operator import Operator
from tests.support.pipeline import Pipeline
from tests.support.source import SourceServer

pytestmark = pytest.mark.e2e

RECORDS: dict[str, list[dict[str, Any]]] = {
    "dotkeys": [
        {"id": 1, "user.name": "ann", "@odata.etag": "W/1", "user": {"mail": "a@x"}},
        {"id": 2, "user.name": "bob", "@odata.etag": "W/2", "user": {"mail": "b@x"}},
    ],
    "late": [{"id": n, "name": f"n{n}", "Full Name": f"N {n}"} for n in range(1, 4)],
}

WITHIN_S = 120
LOOKED_AGAIN_S = 12.0
"""A waiting run's message is written at least this often."""


@dataclass
class Site:
    folder: Path
    source: SourceServer
    pipeline: Pipeline
    operator: Operator
    messages: list[str]

    @property
    def url(self) -> str:
        return self.source.url

    def write(self, name: str, columns: str) -> None:
        (self.folder / f"{name}.yaml").write_text(file_of(name, self.url, columns))

    async def run(self, name: str) -> dict[str, Any]:
        return await self.pipeline.run({"run_id": new_run(), "datasets": [name]}, within_s=WITHIN_S)


def file_of(name: str, url: str, columns: str) -> str:
    return f"""\
name: {name}
source:
  name: src_{name}
  kind: api
  base_url: {url}
  path: /{name}
  pagination: {{kind: none}}
  requests_per_second: 0
table: c_{name}
key: [id]
columns:
  - {{name: id, type: int64}}
{columns}"""


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A stack that is started with a good file and a bad one."""
    folder = tmp_path_factory.mktemp("files")
    async with SourceServer(RECORDS) as source:
        odd = """\
  - {name: user_name, from: 'user\\.name', type: string}
  - {name: user_mail, from: user.mail, type: string}
  - {name: etag, from: '"@odata.etag"', type: string}
"""
        (folder / "dotkeys.yaml").write_text(file_of("dotkeys", source.url, odd))
        (folder / "boxes.yaml").write_text(file_of("boxes", source.url, "  - {name: xmin, type: float64}\n"))
        extra = {
            "ONPOINT_DATASETS_DIR": str(folder),
            "ONPOINT_CRAWL_ALLOW_HOSTS": source.allow,
            "ONPOINT_CRAWL_BATCH_ROWS": "3",
        }
        messages: list[str] = []
        stack = LocalStack(tmp_path_factory.mktemp("stack"), extra_env=extra, report=messages.append)
        with stack:
            environment = {**stack.environment(), **extra}
            yield Site(folder, source, Pipeline(environment), Operator(environment), messages)
            stack.down(wipe=True)


async def test_a_stack_with_a_bad_file_starts_and_warns(site: Site) -> None:
    [warning] = [line for line in site.messages if "boxes.yaml" in line]
    assert warning.startswith(f"left out: {site.folder}/boxes.yaml:13: columns 2.name: xmin is a column")


async def test_keys_with_dots_arrive(site: Site) -> None:
    done = await site.run("dotkeys")
    assert (done["status"], done["reason"]) == ("succeeded", None)
    rows = await site.pipeline.fetch("SELECT id, user_name, user_mail, etag FROM c_dotkeys ORDER BY id")
    assert [tuple(row) for row in rows] == [(1, "ann", "a@x", "W/1"), (2, "bob", "b@x", "W/2")]


async def test_a_request_for_the_bad_one_is_refused_with_its_reason(site: Site) -> None:
    done = await site.run("boxes")
    assert done["status"] == "failed"
    assert f"boxes cannot be crawled: {site.folder}/boxes.yaml:13: " in done["reason"]


async def test_a_dataset_that_is_added_runs_without_a_restart_and_waits_for_its_table(site: Site) -> None:
    site.write("late", "  - {name: name, type: string}\n")
    run = asyncio.create_task(site.run("late"))
    await asyncio.sleep(5)
    assert not run.done(), "the loader waits for the table"
    migrated = await site.operator.run("migrate")
    assert migrated.code == 1
    assert "done table c_late" in migrated.out
    assert "boxes.yaml:13" in migrated.err
    done = await run
    assert (done["status"], done["reason"]) == ("succeeded", None)
    assert done["datasets"]["late"]["rows_loaded"] == 3


async def test_a_run_that_waits_for_a_migration_names_it(site: Site) -> None:
    site.write(
        "late", "  - {name: name, type: string}\n  - {name: full_name, from: Full Name, type: string}\n"
    )
    run_id = new_run()
    waiting = asyncio.create_task(site.operator.run("run", "late", "--run-id", run_id, "--wait"))
    status = ""
    async with asyncio.timeout(WITHIN_S):
        while "loading waits" not in status:
            status = (await site.operator.run("status", run_id)).out
    sentence = "loading waits: table c_late has no column full_name: run `onpoint migrate`"
    assert sentence in " ".join(status.split())
    await asyncio.sleep(LOOKED_AGAIN_S)
    await site.operator.run("migrate", "--warn-only")
    followed = await waiting
    assert followed.code == 0
    assert sentence in followed.err


async def test_a_column_that_is_added_is_filled_by_the_next_run(site: Site) -> None:
    site.write(
        "late",
        "  - {name: name, type: string}\n  - {name: full_name, from: Full Name, type: string}\n"
        "  - {name: more, from: More, type: string}\n",
    )
    assert "done table c_late: column more" in (await site.operator.run("migrate")).out
    done = await site.run("late")
    assert (done["status"], done["reason"]) == ("succeeded", None)
    rows = await site.pipeline.fetch("SELECT id, full_name FROM c_late ORDER BY id")
    assert [tuple(row) for row in rows] == [(1, "N 1"), (2, "N 2"), (3, "N 3")]


def of_pages(size: int) -> tuple[str, str]:
    paged = f"{{kind: page, page_param: _page, size_param: _limit, size: {size}, total_header: X-Total-Count, first: 1}}"
    return "{kind: none}", paged


async def paged(site: Site, name: str, answer: faults.Fault) -> dict[str, Any]:
    """A run of a dataset in pages of three, one to a batch, with what the source answers."""
    file = file_of(name, site.url, "").replace(*of_pages(3))
    (site.folder / f"{name}.yaml").write_text(file)
    assert f"done table c_{name}" in (await site.operator.run("migrate")).out
    site.source.fail(f"/{name}", answer)
    return await site.run(name)


def page_of(rows: list[dict[str, int]], request: web.Request, total: int) -> web.Response:
    first = (int(request.query["_page"]) - 1) * 3
    return web.json_response(rows[first : first + 3], headers={"X-Total-Count": str(total)})


async def test_a_total_that_is_capped_ends_no_run(site: Site) -> None:
    async def capped(request: web.Request) -> web.StreamResponse:
        return page_of([{"id": n} for n in range(40)], request, 6)

    done = await paged(site, "capped", capped)
    counts = done["datasets"]["capped"]
    assert (done["status"], done["reason"]) == ("succeeded", None)
    assert (counts["rows_promised"], counts["rows_loaded"], counts["rows_stored"]) == (6, 40, 40)
    assert counts["batches"] > 10, "each its own, and their number is published at the end"


async def test_a_list_that_grows_while_it_is_read_loses_nothing_that_was_there(site: Site) -> None:
    async def growing(request: web.Request) -> web.StreamResponse:
        rows = [{"id": n} for n in range(9)]
        if request.query["_page"] != "1":  # it was read before
            rows = [{"id": 99}, *rows]
        return page_of(rows, request, len(rows))

    done = await paged(site, "growing", growing)
    counts = done["datasets"]["growing"]
    assert (counts["rows_crawled"], counts["rows_loaded"], counts["rows_promised"]) == (10, 9, 10)
    assert (done["status"], done["reason"]) == ("partial", "growing: 9 of 10 promised records came")
    rows = await site.pipeline.fetch("SELECT id FROM c_growing ORDER BY id")
    assert [row["id"] for row in rows] == list(range(9))


async def test_a_server_that_sends_one_page_for_all_is_not_complete(site: Site) -> None:
    """Each page is a batch of its own: only PostgreSQL sees that they are the same."""

    async def same(_: web.Request) -> web.StreamResponse:
        return web.json_response([{"id": n} for n in range(3)], headers={"X-Total-Count": "9"})

    done = await paged(site, "same", same)
    counts = done["datasets"]["same"]
    assert (done["status"], counts["rows_loaded"], counts["rows_promised"]) == ("partial", 3, 9)
    assert "3 of 9 promised records came" in done["reason"]


async def test_rows_that_are_refused_are_told_with_their_reasons(site: Site) -> None:
    async def odd(request: web.Request) -> web.StreamResponse:
        rows = [{"id": 1}, {"id": None}, {"id": "x"}, {"id": 2**63}, {"id": 2.5}, {"id": 3.0}]
        return web.json_response(rows if request.query["_page"] == "1" else [])

    done = await paged(site, "odd", odd)
    counts = done["datasets"]["odd"]
    assert counts["rejected_by_reason"] == {"no_key": 1, "range": 1, "type": 2}
    assert done["reason"].startswith(
        "odd: 4 of 6 rows rejected: 2 of a wrong type (type), 1 without a key (no_key), 1 out of range (range)"
    )
    shown = await site.operator.run("quarantine", done["run_id"], "--reason", "range", "--json")
    assert [json.loads(line)["raw"] for line in shown.out.splitlines()] == ['{"id": 9223372036854775808}']


async def test_verify_finds_nothing_in_any_of_it(site: Site) -> None:
    result = await site.operator.run("verify")
    assert result.code == 0, result.out + result.err


async def test_nothing_that_a_run_keeps_is_an_orphan(site: Site) -> None:
    result = await site.operator.run("verify", "--only", "I3")
    assert result.code == 0, result.out + result.err
