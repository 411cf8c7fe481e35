"""Transforms in the processor: SQL, explode, what is filtered, added and refused, and the books of all of it."""

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow.parquet as pq
import pytest
import zstandard

from services.processor.service import ProcessorService
from services.processor.work import work_on
from shared.datasets.model import Dataset
from shared.errors import PermanentError
from shared.events.models import BatchManifest, Counts
from shared.reasons import Reason
from shared.stages.results import Batches
from shared.storage.object_store import ObjectStore, open_memory
from shared.transforms.apply import Transformer
from shared.transforms.sandbox import Limits, Sandbox
from tests.support.crawled import a_dataset, put_crawled
from tests.support.datasets import datasets_of

COLUMNS = (
    {"name": "id", "type": "int64"},
    {"name": "email", "type": "string"},
    {"name": "n", "type": "float64"},
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def transformed_by(
    *steps: dict[str, Any], key: Sequence[str] = ("id",), columns: Any = COLUMNS, **more: Any
) -> Dataset:
    return a_dataset(list(columns), key, transform=list(steps), **more)


def python(code: str, frame: str = "arrow") -> dict[str, Any]:
    digest = hashlib.sha256(code.encode()).hexdigest()
    return {"python": "mine.steps:step", "frame": frame, "code": {"sha256": digest, "text": code}}


def records(*values: dict[str, Any]) -> list[bytes]:
    return [json.dumps(value).encode() for value in values]


THREE = records(
    {"id": 1, "email": "A@X", "n": 1},
    {"id": 2, "email": "B@Y", "n": 2.5},
    {"id": 3, "email": None, "n": None},
)


async def process(
    dataset: Dataset,
    lines: list[bytes],
    sandbox: Sandbox,
    *,
    limits: Limits | None = None,
    secret: bytes | None = b"a secret of the tests",
    staging: ObjectStore | None = None,
    first_position: int = 0,
) -> tuple[BatchManifest, list[dict[str, Any]], list[dict[str, Any]]]:
    """The result, its rows without their lineage but the position, and its quarantine."""
    staging = staging or open_memory("staging")
    transformer = Transformer(limits or Limits(512, 20), secret, sandbox)
    batches = Batches(staging, "processor")
    work = partial(work_on, batches.artifacts, transformer)
    service = ProcessorService(batches, datasets_of({"things": dataset}), work)
    crawled = await put_crawled(staging, "things", lines, first_position=first_position)
    result = await service.process(crawled)
    counts = result.counts
    assert counts.read + counts.added == (
        counts.accepted + counts.rejected + counts.deduplicated + counts.filtered
    )
    files = {a.format: await staging.get(staging.key(a.uri, "")) or b"" for a in result.artifacts}
    rows = pq.read_table(io.BytesIO(files["parquet"])).to_pylist()
    assert len(rows) == counts.accepted
    for row in rows:
        for name in ("_run_id", "_batch_id", "_requested_at"):
            del row[name]
    packed = files.get("quarantine.jsonl.zst")
    text = zstandard.ZstdDecompressor().stream_reader(packed).read() if packed else b""
    refused = [json.loads(line) for line in text.splitlines()]
    assert len(refused) == counts.rejected
    assert sum(result.rejected_by_reason.values()) == counts.rejected
    return result, rows, refused


async def failure(dataset: Dataset, sandbox: Sandbox, lines: list[bytes] = THREE, **more: Any) -> str:
    with pytest.raises(PermanentError) as caught:
        await process(dataset, lines, sandbox, **more)
    assert caught.value.reason is Reason.TRANSFORM
    return str(caught.value)


async def test_a_statement_changes_values_and_leaves_rows_out(sandbox: Sandbox) -> None:
    dataset = transformed_by({"sql": "SELECT *, lower(email) AS email FROM batch WHERE n > 1 OR n IS NULL"})
    result, rows, _ = await process(dataset, THREE, sandbox, first_position=70)
    assert rows == [
        {"id": 2, "email": "b@y", "n": 2.5, "_source_position": 71},
        {"id": 3, "email": None, "n": None, "_source_position": 72},
    ]
    assert result.counts == Counts(read=3, accepted=2, filtered=1)


async def test_inputs_are_read_and_not_stored_and_computed_columns_are_stored_and_not_read(
    sandbox: Sandbox,
) -> None:
    dataset = transformed_by(
        {"sql": "SELECT *, first || ' ' || last AS name FROM batch"},
        columns=[{"name": "id", "type": "int64"}, {"name": "name", "type": "string", "computed": True}],
        inputs=[{"name": "first", "type": "string", "from": "who.first"}, {"name": "last", "type": "string"}],
    )
    lines = records({"id": 1, "name": "ignored", "who": {"first": "Ann"}, "last": "Lee"})
    result, rows, _ = await process(dataset, lines, sandbox)
    assert rows == [{"id": 1, "name": "Ann Lee", "_source_position": 0}]
    assert result.absent == ()


async def test_the_key_is_checked_after_the_transform_and_a_null_one_leaves_its_raw_line(
    sandbox: Sandbox,
) -> None:
    dataset = transformed_by(
        {"sql": "SELECT *, nullif(upper(email), 'B@Y') AS email FROM batch"}, key=["email"]
    )
    lines = [b"no json", *THREE[:2], b'{"id": "x"}']
    result, rows, refused = await process(dataset, lines, sandbox)
    assert [row["email"] for row in rows] == ["A@X"]
    assert [(line["source_position"], line["reason"], line.get("raw")) for line in refused] == [
        (0, "decode", "no json"),
        (2, "no_key", THREE[1].decode()),
        (3, "type", '{"id": "x"}'),
    ]
    assert "after the transform" in refused[1]["detail"]
    assert result.counts == Counts(read=4, accepted=1, rejected=3)


async def test_duplicates_are_dropped_by_the_key_that_the_transform_gives(sandbox: Sandbox) -> None:
    dataset = transformed_by({"sql": "SELECT *, id % 2 AS id FROM batch"})
    result, rows, _ = await process(dataset, THREE, sandbox)
    assert [(row["id"], row["_source_position"]) for row in rows] == [(0, 1), (1, 2)]
    assert result.counts == Counts(read=3, accepted=2, deduplicated=1)


async def test_a_line_becomes_a_row_per_value_and_stays_where_it_was(sandbox: Sandbox) -> None:
    dataset = transformed_by(
        {"sql": "SELECT *, string_split(email, '@') AS part FROM batch"},
        {"explode": "part"},
        key=["id", "part"],
        columns=[*COLUMNS, {"name": "part", "type": "string", "computed": True}],
    )
    lines = records({"id": 1, "email": "a@b@b"}, {"id": 2, "email": "c"}, {"id": 3, "email": None})
    result, rows, refused = await process(dataset, lines, sandbox)
    assert [(row["id"], row["part"], row["_source_position"]) for row in rows] == [
        (1, "a", 0), (1, "b", 0), (2, "c", 1),
    ]  # fmt: skip
    assert [line["source_position"] for line in refused] == [2]
    assert result.counts == Counts(read=3, accepted=3, rejected=1, deduplicated=1, added=2)


async def test_a_line_is_refused_as_a_whole_where_one_of_its_rows_is(sandbox: Sandbox) -> None:
    dataset = transformed_by(
        {"sql": "SELECT * EXCLUDE (id), unnest([id, NULL, id + 10]) AS id FROM batch WHERE id < 3"},
    )
    result, rows, refused = await process(dataset, THREE, sandbox)
    assert rows == []
    assert [line["raw"] for line in refused] == [line.decode() for line in THREE[:2]]
    assert result.counts == Counts(read=3, rejected=2, filtered=1)


async def test_a_batch_of_one_row_and_one_of_none(sandbox: Sandbox) -> None:
    dataset = transformed_by({"sql": "SELECT * FROM batch WHERE id <> 1"})
    result, rows, _ = await process(dataset, THREE[:1], sandbox)
    assert (rows, result.counts) == ([], Counts(read=1, filtered=1))
    result, rows, _ = await process(dataset, [], sandbox)
    assert (rows, result.counts) == ([], Counts())


async def test_rows_that_are_sorted_or_grouped_come_in_the_order_of_their_lines(sandbox: Sandbox) -> None:
    dataset = transformed_by({"sql": "SELECT * FROM batch ORDER BY id DESC"})
    _, rows, _ = await process(dataset, THREE, sandbox)
    assert [row["_source_position"] for row in rows] == [0, 1, 2]
    grouped = "SELECT max(id) AS id, max(email) AS email, sum(n) AS n, max(_source_position) AS _source_position FROM batch"
    result, rows, _ = await process(transformed_by({"sql": grouped}), THREE, sandbox)
    assert rows == [{"id": 3, "email": "B@Y", "n": 3.5, "_source_position": 2}]
    assert result.counts == Counts(read=3, accepted=1, filtered=2)


async def test_the_same_batch_twice_gives_the_same_bytes(sandbox: Sandbox) -> None:
    dataset = transformed_by(
        {"sql": "SELECT *, sum(n) OVER () AS n FROM batch"},
        python("def step(rows):\n    return rows.slice(1)"),
        {"mask": {"email": "hash"}},
    )
    lines = [json.dumps({"id": n, "email": f"m{n % 7}", "n": n / 3}).encode() for n in range(5000)]
    first, *_ = await process(dataset, lines, sandbox)
    second, *_ = await process(dataset, lines, sandbox)
    assert [a.sha256 for a in first.artifacts] == [a.sha256 for a in second.artifacts]


async def test_values_are_masked(sandbox: Sandbox) -> None:
    dataset = transformed_by({"mask": {"email": "hash", "n": None}})
    _, rows, _ = await process(dataset, THREE, sandbox)
    assert len(rows[0]["email"]) == len(hashlib.sha256().hexdigest())
    assert rows[0]["email"] != rows[1]["email"]
    assert (rows[2]["email"], [row["n"] for row in rows]) == (None, [None] * 3)
    _, others, _ = await process(dataset, THREE, sandbox, secret=b"another secret of the tests")
    assert others[0]["email"] != rows[0]["email"]
    _, cut, _ = await process(transformed_by({"mask": {"email": "truncate(1)"}}), THREE, sandbox)
    assert [row["email"] for row in cut] == ["A", "B", None]
    assert "ONPOINT_MASK_SECRET is not set" in await failure(dataset, sandbox, secret=None)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([{"sql": "SELECT id, email, _source_position FROM batch"}], "the result has no column n"),
        ([{"sql": "SELECT *, email AS n FROM batch"}], "column n is string in the result, and double"),
        ([{"sql": "SELECT *, id + 0.5 AS id FROM batch"}], "column id: it cannot be int64 without loss"),
        ([{"sql": "SELECT *, 99999999999999999999 AS id FROM batch"}], "without loss"),
        ([{"sql": "SELECT id, email, n FROM batch"}], "its rows have no _source_position"),
        (
            [{"sql": "SELECT *, _source_position + 1 AS _source_position FROM batch"}],
            "is of no line of the batch",
        ),
        ([{"sql": "SELECT *, NULL AS _source_position FROM batch"}], "_source_position is null in 3 rows"),
        ([{"sql": "SELECT missing FROM batch"}], 'Referenced column "missing" not found'),
        ([{"sql": "SELECT *, 'x'::INT AS id FROM batch"}], "Could not convert string 'x'"),
        ([{"explode": "email"}], "email is string, a list is expected"),
        ([{"explode": "tags"}], "there is no column tags"),
        ([{"mask": {"n": "hash"}}], "n is double: texts and whole numbers can be hashed"),
        ([{"mask": {"tags": None}}], "there is no column tags"),
        ([{"sql": "SELECT * FROM batch"}, {"sql": "SELECT x FROM batch"}], "transform step 2 (sql)"),
    ],
)
async def test_a_result_that_is_not_the_dataset_costs_its_batch(
    steps: list[dict[str, Any]], said: str, sandbox: Sandbox
) -> None:
    assert said in await failure(transformed_by(*steps), sandbox)


async def test_rows_that_no_table_can_have_are_refused(sandbox: Sandbox) -> None:
    dataset = transformed_by(
        {
            "sql": "SELECT * EXCLUDE (email, n), CASE id WHEN 1 THEN chr(0) ELSE 'x' END AS email, "
            "CASE id WHEN 2 THEN 'infinity'::DOUBLE ELSE 1.0::DOUBLE END AS n FROM batch"
        }
    )
    result, rows, _ = await process(dataset, THREE, sandbox)
    assert [row["id"] for row in rows] == [3]
    assert result.rejected_by_reason == {"nul": 1, "range": 1}
    long = transformed_by({"sql": "SELECT *, repeat('k', 2001) AS email FROM batch"}, key=["email"])
    result, _, _ = await process(long, THREE, sandbox)
    assert result.rejected_by_reason == {"too_large": 3}


async def test_numbers_and_times_are_cast_where_nothing_is_lost(sandbox: Sandbox) -> None:
    dataset = transformed_by(
        {"sql": "SELECT *, id::TINYINT AS id, sum(id) OVER () AS total, 1.25 AS n, 'now' AS email, "
         "make_timestamp(id * 1000000) AS at, DATE '2026-01-31' AS day FROM batch"},
        columns=[
            *COLUMNS,
            *({"name": name, "type": kind, "computed": True} for name, kind in
              (("total", "int64"), ("at", "timestamp"), ("day", "date"))),
        ],
    )  # fmt: skip
    _, rows, _ = await process(dataset, THREE, sandbox)
    assert (rows[0]["id"], rows[0]["total"], rows[0]["n"]) == (1, 6, 1.25)
    assert rows[1]["at"].isoformat() == "1970-01-01T00:00:02+00:00"
