"""Single defects of records: in PostgreSQL, in the lake, in quarantine."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pyarrow as pa
import zstandard

from tests.support.laboratory import Defects, Laboratory

POSTS = "public.onpoint_posts"

defect = Defects()


@defect("I1", "a row is gone from PostgreSQL")
async def gone(lab: Laboratory) -> AsyncIterator[str]:
    async with lab.altered(POSTS, f"DELETE FROM {POSTS} WHERE id = 17"):
        yield "posts id=17"


@defect("I1", "the last row of the source is gone from PostgreSQL")
async def last_gone(lab: Laboratory) -> AsyncIterator[str]:
    stories = "public.onpoint_stories"
    async with lab.altered(
        stories,
        f"DELETE FROM {stories} WHERE _source_position = (SELECT max(_source_position) FROM {stories})",
    ):
        yield "stories id=2049"


@defect("I1", "a text is another")
async def other_text(lab: Laboratory) -> AsyncIterator[str]:
    async with lab.altered(POSTS, f"UPDATE {POSTS} SET title = title || ' ' WHERE id = 20"):
        yield "posts id=20"


@defect("I1", "a number is another")
async def other_number(lab: Laboratory) -> AsyncIterator[str]:
    async with lab.altered(POSTS, f"UPDATE {POSTS} SET user_id = user_id + 1 WHERE id = 21"):
        yield "posts id=21"


@defect("I1", "a null has become an empty text")
async def empty_text(lab: Laboratory) -> AsyncIterator[str]:
    async with lab.altered(POSTS, f"UPDATE {POSTS} SET body = '' WHERE id = 12 AND body IS NULL"):
        yield "posts id=12"


@defect("I1", "a value has become null")
async def nulled(lab: Laboratory) -> AsyncIterator[str]:
    async with lab.altered(POSTS, f"UPDATE {POSTS} SET body = NULL WHERE id = 22"):
        yield "posts id=22"


@defect("I1", "a row says that an older run brought it")
async def older_run(lab: Laboratory) -> AsyncIterator[str]:
    async with lab.altered(POSTS, f"UPDATE {POSTS} SET _run_id = 'first' WHERE id = 23"):
        yield "posts id=23"


@defect("I1", "a row of an older run has won")
async def older_won(lab: Laboratory) -> AsyncIterator[str]:
    first = await lab.batch("first")
    requested_at = await lab.value("SELECT requested_at FROM onpoint_runs.v_runs WHERE run_id = 'first'")
    async with lab.altered(
        POSTS,
        f"UPDATE {POSTS} SET _run_id = 'first', _batch_id = $1, _requested_at = $2 WHERE id = 24",
        first,
        requested_at,
    ):
        yield "posts id=24"


@defect("I1", "a row names another batch")
async def other_batch(lab: Laboratory) -> AsyncIterator[str]:
    async with lab.altered(POSTS, f"UPDATE {POSTS} SET _batch_id = repeat('0', 32) WHERE id = 25"):
        yield "posts id=25"


@defect("I1", "a row names another moment")
async def other_moment(lab: Laboratory) -> AsyncIterator[str]:
    async with lab.altered(
        POSTS, f"UPDATE {POSTS} SET _requested_at = _requested_at + interval '1 microsecond' WHERE id = 26"
    ):
        yield "posts id=26"


@defect("I1", "a row names another place in the source")
async def other_place(lab: Laboratory) -> AsyncIterator[str]:
    async with lab.altered(POSTS, f"UPDATE {POSTS} SET _source_position = 3 WHERE id = 27"):
        yield "posts id=27"


@defect("I1", "a row is there that nothing brought")
async def brought_by_nothing(lab: Laboratory) -> AsyncIterator[str]:
    async with lab.altered(
        POSTS,
        f"INSERT INTO {POSTS} SELECT 999999, user_id, title, body, _run_id, _batch_id, _requested_at, "
        f"_source_position, etl_processed_at FROM {POSTS} WHERE id = 28",
    ):
        yield "posts id=999999"


@defect("I1", "a row is there twice")
async def twice(lab: Laboratory) -> AsyncIterator[str]:
    name = await lab.value(
        f"SELECT conname FROM pg_constraint WHERE conrelid = '{POSTS}'::regclass AND contype = 'p'"
    )
    await lab.database.execute(f"ALTER TABLE {POSTS} DROP CONSTRAINT {name}")
    async with lab.altered(POSTS, f"INSERT INTO {POSTS} SELECT * FROM {POSTS} WHERE id = 29"):
        yield "posts id=29"
    await lab.database.execute(f"ALTER TABLE {POSTS} ADD CONSTRAINT {name} PRIMARY KEY (id)")


@defect("I1", "the earlier of two records with one key has won")
async def earlier_won(lab: Laboratory) -> AsyncIterator[str]:
    async with lab.altered(POSTS, f"UPDATE {POSTS} SET title = 'the first of two' WHERE id = 5"):
        yield "posts id=5"


@defect("I1", "a row of the run with a missing page is gone")
async def gone_beyond_a_missing_page(lab: Laboratory) -> AsyncIterator[str]:
    async with lab.altered(
        "public.onpoint_photos",
        "DELETE FROM public.onpoint_photos WHERE id = (SELECT max(id) FROM public.onpoint_photos)",
    ):
        yield "photos id=250"


def _without(table: pa.Table, row: int) -> pa.Table:
    return pa.concat_tables([table.slice(0, row), table.slice(row + 1)])


def _with_double(table: pa.Table, row: int) -> pa.Table:
    return pa.concat_tables([table, table.slice(row, 1)])


def _with_value(table: pa.Table, column: str, row: int, value: Any) -> pa.Table:
    values = table[column].to_pylist()
    values[row] = value
    place = table.schema.get_field_index(column)
    return table.set_column(
        place, table.schema.field(column), pa.array(values, table.schema.field(column).type)
    )


async def _position(lab: Laboratory, row: int) -> str:
    uri = await lab.file("s3sink", "parquet")
    table = pa.BufferReader(lab.pipeline.read(uri))
    positions = pa.parquet.read_table(table)["_source_position"].to_pylist()
    return f"(record {positions[row]} of first)"


def _lake(says: str, change: Callable[[pa.Table], pa.Table], row: int) -> None:
    @defect("I1", says)
    async def seed(lab: Laboratory) -> AsyncIterator[str]:
        subject = await _position(lab, row)
        async with lab.rewritten(await lab.file("s3sink", "parquet"), change):
            yield subject


_lake("a row is gone from a lake object", lambda table: _without(table, 7), 7)
_lake("a row is twice in a lake object", lambda table: _with_double(table, 9), 9)
_lake("a text in the lake is another", lambda table: _with_value(table, "title", 11, "x"), 11)
_lake("a null in the lake is another", lambda table: _with_value(table, "user_id", 13, None), 13)
_lake(
    "a row in the lake names another batch", lambda table: _with_value(table, "_batch_id", 15, "0" * 32), 15
)


@defect("I1", "a column of a lake object has another name")
async def other_column(lab: Laboratory) -> AsyncIterator[str]:
    uri = await lab.file("s3sink", "parquet")
    async with lab.rewritten(uri, lambda table: table.rename_columns(["ident", *table.column_names[1:]])):
        yield uri


def _lines(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Callable[[bytes], bytes]:
    def anew(packed: bytes) -> bytes:
        text = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
        lines = change([json.loads(line) for line in text.split(b"\n") if line])
        return zstandard.compress(b"".join(json.dumps(line).encode() + b"\n" for line in lines))

    return anew


@defect("I1", "a refused record is not in quarantine")
async def not_in_quarantine(lab: Laboratory) -> AsyncIterator[str]:
    uri = await lab.file("processor", "quarantine.jsonl.zst")
    async with lab.damaged(uri, _lines(lambda lines: lines[1:])):
        yield await lab.batch()


@defect("I1", "the raw text of a refused record is another")
async def other_raw(lab: Laboratory) -> AsyncIterator[str]:
    uri = await lab.file("processor", "quarantine.jsonl.zst")
    async with lab.damaged(uri, _lines(lambda lines: [{**lines[0], "raw": '{"id": 1}'}, *lines[1:]])):
        yield "posts record 40 of first"


@defect("I1", "a good record is in quarantine")
async def good_in_quarantine(lab: Laboratory) -> AsyncIterator[str]:
    uri = await lab.file("processor", "quarantine.jsonl.zst")
    with lab.question.sources["posts"].open(encoding="utf-8") as lines:
        good = lines.read().splitlines()[50]
    line = {"source_position": 50, "reason": "type", "raw": good, "detail": "", "url": None}
    async with lab.damaged(uri, _lines(lambda lines: [line, *lines[1:]])):
        yield "posts record 50 of first"
