"""`onpoint trace` on a running pipeline: each of a hundred random rows is led back to the answer that had it."""

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from console.client.trace.document import document
from console.client.trace.key import parse_key
from console.client.trace.ledger import open_trace_ledger
from console.client.trace.tracing import Scope, Tracer
from deploy.local.stack import LocalStack
from shared.datasets.catalog import load_catalog
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.storage.object_store import open_s3
from tests.e2e.test_whole_way import new_run
from tests.support.operator import Operator
from tests.support.pipeline import Pipeline
from tests.support.source import SourceServer

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(400)]

SEED = 7
ROWS, PAGE = 400, 20
FILE = """\
name: {name}
source:
  name: {name}
  kind: api
  base_url: {url}
  path: /{name}
  pagination: {{kind: page, page_param: _page, size_param: _limit, size: 20, total_header: X-Total-Count}}
  requests_per_second: 0
table: t_{name}
key: [{key}]
columns:
  - {{name: id, type: int64}}
  - {{name: region, type: string}}
  - {{name: amount, type: float64}}
formats: [csv]
max_rejected_ratio: 1
exports: {{one_file: true}}
"""


@dataclass
class Crawl:
    """A run, and what the source had then."""

    run_id: str
    records: list[dict[str, Any]]

    def is_refused(self, place: int) -> bool:
        return isinstance(self.records[place]["amount"], str)

    def is_last_of_its_key_in_its_batch(self, place: int) -> bool:
        batch = self.records[place // 100 * 100 : place // 100 * 100 + 100]
        after = batch[place % 100 + 1 :]
        return not any(
            one["id"] == self.records[place]["id"] and not isinstance(one["amount"], str) for one in after
        )


@dataclass
class Site:
    environment: dict[str, str]
    pipeline: Pipeline
    operator: Operator
    crawls: dict[str, list[Crawl]] = field(default_factory=lambda: defaultdict(list))

    async def trace(self, *words: str) -> Any:
        result = await self.operator.run("trace", *words, "--json")
        assert result.code == 0, result.err + result.out
        return result.json()

    @asynccontextmanager
    async def tracer(self, name: str) -> AsyncIterator[Tracer]:
        """What the command uses, for many rows in one process."""
        with pytest.MonkeyPatch.context() as patch:
            for name_, value in self.environment.items():
                if name_.startswith("AWS_"):
                    patch.setenv(name_, value)
            async with self._tracer(name) as tracer:
                yield tracer

    @asynccontextmanager
    async def _tracer(self, name: str) -> AsyncIterator[Tracer]:
        stores = load_settings(ObjectStoreSettings, self.environment)
        folder = Path(self.environment["ONPOINT_DATASETS_DIR"])
        async with open_trace_ledger(self.environment["ONPOINT_POSTGRES_DSN"]) as ledger:
            yield Tracer(
                load_catalog(folder, self.environment)[name],
                ledger,
                open_s3(stores, stores.staging_bucket),
                open_s3(stores, stores.lake_bucket),
            )


def records_of(run: int, draw: random.Random) -> list[dict[str, Any]]:
    """As the source has them at a run: some keys are gone, some records are damaged, some keys come twice."""
    found = []
    for number in range(ROWS):
        amount: Any = number + run / 10
        if draw.random() < 0.1:
            amount = f"odd {number}"
        key = number if draw.random() < 0.95 else max(0, number - 1)
        if draw.random() < 0.9:
            found.append({"id": key, "region": "eu, north" if key % 2 else "us", "amount": amount})
    return found


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder, draw = tmp_path_factory.mktemp("files"), random.Random(SEED)  # noqa: S311 - repeatable
    collections: dict[str, list[dict[str, Any]]] = {"orders": [], "parts": []}
    async with SourceServer(collections, etag='"v1"') as source:
        for name, key in (("orders", "id"), ("parts", "id, region")):
            (folder / f"{name}.yaml").write_text(FILE.format(name=name, url=source.url, key=key))
        extra = {
            "ONPOINT_DATASETS_DIR": str(folder),
            "ONPOINT_CRAWL_ALLOW_HOSTS": source.allow,
            "ONPOINT_CRAWL_BATCH_ROWS": "100",
        }
        with LocalStack(tmp_path_factory.mktemp("stack"), extra_env=extra) as stack:
            environment = {**stack.environment(), **extra}
            site = Site(environment, Pipeline(environment), Operator(environment))
            for run in range(3):
                run_id = new_run()
                for name in tuple(collections):
                    collections[name] = records_of(run, draw)
                    site.crawls[name].append(Crawl(run_id, collections[name]))
                done = await site.pipeline.run({"run_id": run_id, "datasets": list(collections)})
                assert done["status"] == "succeeded", done
            yield site
            stack.down(wipe=True)


def expected_states(crawls: list[Crawl], key: int) -> set[tuple[str, int, str]]:
    """Run, place and state of every row with the key, the rules of the pipeline applied to what the source had."""
    stored, refused = [], set()
    for age, crawl in enumerate(crawls):
        for place, record in enumerate(crawl.records):
            if record["id"] != key:
                continue
            if crawl.is_refused(place):
                refused.add((crawl.run_id, place, "quarantined"))
            elif crawl.is_last_of_its_key_in_its_batch(place):
                stored.append((age, place, crawl.run_id))
    newest = max(stored, default=None)
    return refused | {
        (run_id, place, "current" if (age, place, run_id) == newest else "superseded")
        for age, place, run_id in stored
    }


async def test_a_hundred_random_rows_are_traced_with_all_that_superseded_or_refused_them(site: Site) -> None:
    crawls = site.crawls["orders"]
    by_run = {crawl.run_id: crawl for crawl in crawls}
    known = sorted({one["id"] for crawl in crawls for one in crawl.records})
    keys = random.Random(SEED).sample(known, 100)  # noqa: S311 - repeatable
    seen: set[str] = set()
    async with site.tracer("orders") as tracer:
        traces = [document(await tracer.by_key(parse_key(tracer.dataset, str(key)), Scope())) for key in keys]
    for key, trace in zip(keys, traces, strict=True):
        wanted, rows = expected_states(crawls, key), trace["rows"]
        assert {(row["run_id"], row["source_position"], row["state"]) for row in rows} == wanted
        for row in rows:
            seen.add(row["state"])
            record = by_run[row["run_id"]].records[row["source_position"]]
            assert json.loads(row["raw"]) == record
            page = int(parse_qs(urlsplit(row["request"]["url"]).query)["_page"][0])
            assert (page - 1) * PAGE <= row["source_position"] < page * PAGE
            assert (row["request"]["status"], row["request"]["etag"]) == (200, '"v1"')
            assert bool(row["lake"]) == bool(row["exports"]) == (row["state"] != "quarantined")
    assert seen == {"current", "superseded", "quarantined"}


async def test_what_holds_a_row_has_it(site: Site) -> None:
    key = next(
        key
        for key in range(ROWS)
        if any(s == "current" for _, _, s in expected_states(site.crawls["orders"], key))
    )
    row = next(row for row in (await site.trace("orders", str(key)))["rows"] if row["state"] == "current")
    [stored] = await site.pipeline.fetch(f"SELECT * FROM t_orders WHERE id = {key}")
    assert (row["table"], row["batch_id"]) == ("public.t_orders", stored["_batch_id"])
    async with asyncio.timeout(60):
        while not (listed := site.pipeline.listing(row["run_id"])["datasets"]["orders"]).get("combined"):
            await asyncio.sleep(0.2)
    [row] = [one for one in (await site.trace("orders", str(key)))["rows"] if one["state"] == "current"]
    assert {file["uri"] for file in row["lake"]} <= {entry["uri"] for entry in listed["objects"]}
    held = {file["uri"] for file in row["exports"]}
    assert held <= {file["uri"] for name in ("exports", "combined") for file in listed[name]}
    assert any("/combined/" in uri for uri in held)


async def test_a_composite_key_is_given_by_its_columns(site: Site) -> None:
    crawl = site.crawls["parts"][-1]
    record = next(one for one in crawl.records if one["id"] % 2 and not isinstance(one["amount"], str))
    found = await site.trace("parts", f"id={record['id']},region=eu, north")
    assert found["rows"][0]["state"] == "current"
    assert json.loads(found["rows"][0]["raw"])["region"] == "eu, north"
    wrong = await site.operator.run("trace", "parts", str(record["id"]))
    assert (wrong.code, wrong.err) == (
        2,
        "onpoint: the key of parts is id and region: write id=…,region=…\n",
    )


async def test_every_place_of_a_crawl_is_found_also_one_that_was_left_out(site: Site) -> None:
    crawl = site.crawls["orders"][0]
    left_out = next(
        place
        for place in range(len(crawl.records))
        if not crawl.is_refused(place) and not crawl.is_last_of_its_key_in_its_batch(place)
    )
    refused = next(place for place in range(len(crawl.records)) if crawl.is_refused(place))
    for place, state in ((left_out, "left_out"), (refused, "quarantined")):
        [row] = (await site.trace("orders", "--position", f"{crawl.run_id}:{place}"))["rows"]
        assert (row["state"], json.loads(row["raw"])) == (state, crawl.records[place])
    beyond = await site.operator.run("trace", "orders", "--position", f"{crawl.run_id}:{10**6}")
    assert beyond.code == 1
    unknown = await site.operator.run("trace", "orders", "5", "--run", "never")
    assert (unknown.code, unknown.err) == (1, "onpoint: there is no run never: see `onpoint runs`\n")


async def test_a_row_of_a_replay_is_led_back_to_the_run_that_crawled_it(site: Site) -> None:
    crawl = site.crawls["orders"][-1]
    asked = await site.operator.run("replay", crawl.run_id, "--from", "loader", "--wait", "--json")
    assert asked.code == 0, asked.err
    replay = asked.json()["run_id"]
    key = next(one["id"] for one in crawl.records if not isinstance(one["amount"], str))
    row = (await site.trace("orders", str(key), "--run", replay))["rows"][0]
    assert (row["state"], row["crawled_by"], row["run"]["replay_of"]) == (
        "current",
        crawl.run_id,
        crawl.run_id,
    )
    assert row["request"]["status"] == 200


async def test_people_see_the_way_and_a_key_that_no_row_has_is_told(site: Site) -> None:
    key = next(
        key
        for key in range(ROWS)
        if any(s == "current" for _, _, s in expected_states(site.crawls["orders"], key))
    )
    shown = await site.operator.run("trace", "orders", str(key))
    for part in ("public.t_orders", "s3://", "GET http", "status 200", 'ETag "v1"', "crawler done"):
        assert part in shown.out
    nothing = await site.operator.run("trace", "orders", "123456789")
    assert (nothing.code, nothing.out) == (1, "orders id=123456789: no such row\n")
    odd = await site.operator.run("trace", "orders", "abc")
    assert (odd.code, odd.err) == (2, "onpoint: id is of type int64, and 'abc' is none\n")
