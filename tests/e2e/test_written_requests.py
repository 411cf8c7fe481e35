"""Sources whose files write the request, through the whole pipeline: a token, cursors, an increment, a parent, a replay."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import LocalStack
from tests.e2e.test_whole_way import new_run
from tests.support.api_datasets import TOKEN
from tests.support.api_server import ApiServer, Asked, refused
from tests.support.pipeline import Pipeline

pytestmark = pytest.mark.e2e

WITHIN_S = 120
ORDERS: dict[str, list[dict[str, Any]]] = {
    shop: [
        {"id": f"{shop}-{day}", "total": day * 10, "changed": f"2026-01-{day:02}T00:00:00Z"}
        for day in range(1, 8)
    ]
    for shop in ("north", "south")
}
SHOPS = """\
name: shops
source:
  name: shop_api
  kind: api
  base_url: {url}
  auth: {{kind: bearer, token: {{file: {secrets}/token}}}}
  limits: {{requests_per_second: 0}}
  request: {{path: /shops}}
table: a_shops
key: [id]
columns:
  - {{name: id, type: string}}
"""
ORDERS_FILE = """\
name: orders
source:
  name: shop_api
  kind: api
  base_url: {url}
  auth: {{kind: bearer, token: {{file: {secrets}/token}}}}
  limits: {{requests_per_second: 0}}
  for_each: [{{parent: shops, fields: {{shop: id}}}}]
  request:
    path: /orders
    query: {{shop: "{{parent.shop}}", from: "{{window.from}}", cursor: "{{cursor}}"}}
  records: {{path: data}}
  pagination: {{kind: cursor, next: {{path: next}}, more: {{path: has_more, equals: true}}}}
  incremental: {{field: changed, start: 2026-01-01, lookback: 1d}}
  responses:
    - {{when: {{path: error, exists: true}}, action: fail}}
table: a_orders
key: [id]
columns:
  - {{name: id, type: string}}
  - {{name: shop, type: string, from: $parent.shop}}
  - {{name: total, type: int64}}
  - {{name: changed, type: timestamp}}
"""


def answer(asked: Asked) -> Any:
    if asked.headers.get("Authorization") != f"Bearer {TOKEN}":
        return refused(401, "who are you?")
    if asked.path == "/shops":
        return [{"id": shop} for shop in ORDERS]
    rows = [row for row in ORDERS[asked.query["shop"]] if row["changed"] >= asked.query["from"]]
    start = int(asked.cursor or 0)
    return {"data": rows[start : start + 3], "has_more": start + 3 < len(rows), "next": str(start + 3)}


@dataclass
class Site:
    api: ApiServer
    pipeline: Pipeline
    folder: Path

    async def run(self, **value: Any) -> dict[str, Any]:
        return await self.pipeline.run(
            {"run_id": new_run(), "datasets": ["orders"], **value}, within_s=WITHIN_S
        )


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder, secrets = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("secrets")
    (secrets / "token").write_text(f"{TOKEN}\n")
    async with ApiServer(answer) as api:
        (folder / "shops.yaml").write_text(SHOPS.format(url=api.url, secrets=secrets))
        (folder / "orders.yaml").write_text(ORDERS_FILE.format(url=api.url, secrets=secrets))
        extra = {
            "ONPOINT_DATASETS_DIR": str(folder),
            "ONPOINT_CRAWL_ALLOW_HOSTS": api.allow,
            "ONPOINT_CRAWL_BATCH_ROWS": "4",
            "ONPOINT_CRAWL_SECRETS_DIRS": str(secrets),
        }
        stack = LocalStack(tmp_path_factory.mktemp("stack"), extra_env=extra, report=lambda _: None)
        with stack:
            yield Site(api, Pipeline({**stack.environment(), **extra}), folder)
            stack.down(wipe=True)


async def test_orders_of_every_shop_arrive_once_and_the_next_run_asks_for_what_is_new(site: Site) -> None:
    done = await site.run()
    assert done["status"] == "succeeded", json.dumps(done)
    assert done["datasets"]["orders"]["rows_loaded"] == 14
    rows = await site.pipeline.fetch("SELECT id, shop, total FROM a_orders ORDER BY id")
    assert [tuple(row) for row in rows] == [
        (row["id"], shop, row["total"]) for shop, orders in ORDERS.items() for row in orders
    ]
    first = len(site.api.seen)
    await _mark_is_kept(site)
    again = await site.run()
    assert again["status"] == "succeeded"
    assert {asked.query["from"] for asked in site.api.seen[first:] if asked.path == "/orders"} == {
        "2026-01-06T00:00:00Z"
    }
    replayed = await site.pipeline.run(
        {"run_id": new_run(), "replay_of": done["run_id"], "from_stage": "processor"}, within_s=WITHIN_S
    )
    assert replayed["status"] == "succeeded"
    assert replayed["datasets"]["orders"]["rows_accepted"] == 14
    assert len([asked for asked in site.api.seen if asked.path == "/shops"]) == 2


async def test_nothing_of_the_token_is_stored(site: Site) -> None:
    pages = site.pipeline.s3.get_paginator("list_objects_v2").paginate(Bucket=site.pipeline.staging_bucket)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    assert keys
    for key in keys:
        body = site.pipeline.s3.get_object(Bucket=site.pipeline.staging_bucket, Key=key)["Body"].read()
        assert TOKEN.encode() not in body


async def _mark_is_kept(site: Site) -> None:
    for _ in range(100):
        found = site.pipeline.s3.list_objects_v2(Bucket=site.pipeline.staging_bucket, Prefix="marks/orders/")
        if found.get("Contents"):
            key = found["Contents"][0]["Key"]
            body = site.pipeline.s3.get_object(Bucket=site.pipeline.staging_bucket, Key=key)["Body"].read()
            assert json.loads(body)["value"] == "2026-01-07T00:00:00Z"
            return
        await asyncio.sleep(0.1)
    raise AssertionError("no mark is written")
