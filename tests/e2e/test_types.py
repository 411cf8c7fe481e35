"""A dataset with every type: from the records of a source to PostgreSQL, lake and exports, and what `verify` says."""

import csv
import gzip
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import LocalStack
from tests.e2e.test_whole_way import new_run
from tests.support.operator import Operator
from tests.support.pipeline import Pipeline
from tests.support.source import SourceServer

pytestmark = pytest.mark.e2e

FILE = """\
name: every
source:
  name: shop
  kind: api
  base_url: {url}
  path: /every
  pagination: {{kind: none}}
table: c_every
key: [id, price]
formats: [parquet, csv]
max_rejected_ratio: 1
lake: {{partition_by: [state, day.month], sort_by: [share, price], codec: gzip, bloom: [token]}}
columns:
  - {{name: id, type: int32}}
  - {{name: price, type: "decimal(18,4)"}}
  - {{name: small, type: int8}}
  - {{name: share, type: float32}}
  - {{name: opens, type: time}}
  - {{name: lasts, type: duration}}
  - {{name: token, type: uuid}}
  - {{name: data, type: binary}}
  - {{name: code, type: binary, encoding: hex}}
  - {{name: doc, type: json}}
  - {{name: state, type: "enum(new, paid, 'sent out')"}}
  - {{name: tags, type: list<string>, trim: true, empty_as_null: true}}
  - {{name: tokens, type: list<uuid>}}
  - {{name: stamps, type: list<timestamp>}}
  - {{name: parts, type: "list<struct<sku: string, price: decimal(10,2), lasts: duration, at: timestamp>>"}}
  - {{name: place, type: "struct<lat: float64, lon: float32, note: json>"}}
  - {{name: gross, type: "decimal(9,2)", decimal_comma: true, nulls: [n/a], inexact: round}}
  - {{name: count, type: int64, from_text: true, empty_as_null: true, fill: 7}}
  - {{name: is_open, type: boolean, true_words: ["yes"], false_words: ["no"]}}
  - {{name: day, type: date, format: "%d.%m.%Y"}}
  - {{name: local, type: timestamp, zone: Europe/Berlin}}
"""

FIRST = {
    "id": 1, "price": "1234567890.1200", "small": -128, "share": 0.1, "opens": "08:30", "lasts": "PT1H0.5S",
    "token": "0B0E0000-0000-4000-8000-0000000000FF", "data": "AAH/", "code": "00ff", "doc": {"b": [1.50, None], "a": "é"},
    "state": "sent out", "tags": [" x ", "", None, 'say "hi"\\'], "tokens": ["0b0e0000000040008000000000000001", None],
    "stamps": ["2026-01-31T12:00:00Z", None], "parts": [{"sku": "a", "price": 9.99, "lasts": 90, "at": "2026-01-31"}, {}],
    "place": {"lat": 52.5, "lon": 13.4, "note": {"z": 1}}, "gross": "12,345", "count": "12", "is_open": "yes",
    "day": "31.1.2026", "local": "2026-07-01T12:00:00",
}  # fmt: skip
NULLS = {"id": 2, "price": 0.0001, "gross": "n/a", "count": ""}
REFUSED = [
    {"id": 3, "price": "1.23456"},
    {"id": 4, "price": 1, "state": "lost"},
    {"id": 5, "price": 1, "small": 128},
]


@dataclass
class Site:
    pipeline: Pipeline
    operator: Operator
    records: Path
    run_id: str
    done: dict[str, Any]


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """After a run."""
    folder = tmp_path_factory.mktemp("files")
    records = [FIRST, NULLS, *REFUSED]
    async with SourceServer({"every": records}) as source:
        (folder / "every.yaml").write_text(FILE.format(url=source.url))
        lines = folder / "every.jsonl"
        lines.write_text("".join(json.dumps(record) + "\n" for record in records))
        extra = {"ONPOINT_DATASETS_DIR": str(folder), "ONPOINT_CRAWL_ALLOW_HOSTS": source.allow}
        stack = LocalStack(tmp_path_factory.mktemp("stack"), extra_env=extra)
        with stack:
            environment = {**stack.environment(), **extra}
            pipeline, run_id = Pipeline(environment), new_run()
            done = await pipeline.run({"run_id": run_id, "datasets": ["every"]}, within_s=120)
            yield Site(pipeline, Operator(environment), lines, run_id, done)
            stack.down(wipe=True)


async def test_books_balance_and_reasons_are_told(site: Site) -> None:
    counts = site.done["datasets"]["every"]
    assert (counts["rows_crawled"], counts["rows_accepted"], counts["rows_rejected"]) == (5, 2, 3)
    assert counts["rows_loaded"] == 2


async def test_postgresql_has_each_value(site: Site) -> None:
    [first, nulls] = await site.pipeline.fetch("SELECT c::text AS c FROM c_every c ORDER BY id")
    assert first["c"].startswith(
        '(1,1234567890.1200,-128,0.1,08:30:00,01:00:00.5,0b0e0000-0000-4000-8000-0000000000ff,"\\\\x0001ff","\\\\x00ff",'
    )
    assert nulls["c"].startswith("(2,0.0001,,,,,,,,,,,,,,,,7,,,,")


async def test_the_csv_has_each_value(site: Site) -> None:
    [header, first, nulls] = csv.reader(io.StringIO(await _export(site, "csv")))
    found = dict(zip(header, first, strict=True))
    assert found["price"] == "1234567890.1200"
    assert found["lasts"] == "PT1H0.5S"
    assert (found["data"], found["code"]) == ("AAH/", "00ff")
    assert found["doc"] == '{"a":"é","b":[1.5,null]}'
    assert json.loads(found["tags"]) == ["x", None, None, 'say "hi"\\']
    assert json.loads(found["parts"])[0]["price"] == "9.99"
    assert (found["gross"], found["count"], found["day"]) == ("12.34", "12", "2026-01-31")
    assert found["local"] == "2026-07-01T10:00:00.000000Z"
    assert dict(zip(header, nulls, strict=True))["gross"] == ""


async def test_the_lake_has_a_file_in_each_folder_and_the_checker_knows_them(site: Site) -> None:
    objects = site.pipeline.listing(site.run_id)["datasets"]["every"]["objects"]
    assert [entry["uri"].split("/")[4:-1] for entry in objects] == [
        ["part_state=__HIVE_DEFAULT_PARTITION__", "part_day_month=__HIVE_DEFAULT_PARTITION__"],
        ["part_state=sent%20out", "part_day_month=2026-01"],
    ]
    assert [entry["rows"] for entry in objects] == [1, 1]
    assert (await site.operator.run("verify", site.run_id)).code == 0


async def test_verify_is_silent_where_every_value_is_right(site: Site) -> None:
    assert (await _verify(site)).code == 0


@pytest.mark.parametrize(
    "change",
    [
        "price = price + 0.0001", "small = 1", "share = 0.2", "opens = '08:31'", "lasts = '1 hour'", "data = '\\x00'",
        "token = gen_random_uuid()", "doc = '{}'", "state = 'new'", "tags = '{x}'", "tokens = '{}'", "stamps = '{}'",
        "parts = '[]'", "place = jsonb_set(place, '{lon}', '13.5')", "gross = 12.35", "local = now()",
    ],
    ids=lambda change: change.split(" = ", maxsplit=1)[0],
)  # fmt: skip
async def test_verify_finds_a_value_that_is_another(site: Site, change: str) -> None:
    name = change.split(" = ", maxsplit=1)[0]
    await site.pipeline.fetch(f"CREATE TABLE c_kept AS SELECT id, {name} FROM c_every")
    where = "" if name != "price" else "id = 2 AND "
    await site.pipeline.fetch(f"UPDATE c_every SET {change} WHERE {where}id IN (1, 2)")
    try:
        verdict = await _verify(site)
    finally:
        await site.pipeline.fetch(
            f"UPDATE c_every SET {name} = c_kept.{name} FROM c_kept WHERE c_kept.id = c_every.id"
        )
        await site.pipeline.fetch("DROP TABLE c_kept")
    assert verdict.code == 1
    assert name in verdict.out, verdict.out


async def _verify(site: Site) -> Any:
    return await site.operator.run("verify", "--only", "I1", "--source", f"every={site.records}")


async def _export(site: Site, form: str) -> str:
    exports = site.pipeline.listing(site.run_id)["datasets"]["every"]["exports"]
    [uri] = [export["uri"] for export in exports if export["format"] == form]
    return gzip.decompress(site.pipeline.read(uri)).decode()
