"""Single defects of records: in PostgreSQL, in the lake, in quarantine."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pyarrow as pa
import zstandard

from tests.support.damaged_stack import DamagedStack, Defects

POSTS = "public.onpoint_posts"
STORIES = "public.onpoint_stories"
PHOTOS = "public.onpoint_photos"
ALBUMS = "public.onpoint_albums"
LATE = "public.onpoint_late"

defect = Defects()


def _statement(title: str, subject: str, sql: str, *, table: str = POSTS) -> None:
    @defect("I1", title)
    async def seed(target: DamagedStack) -> AsyncIterator[str]:
        async with target.altered(table, sql):
            yield subject


def _post(title: str, number: int, change: str) -> None:
    _statement(title, f"posts id={number}", f"UPDATE {POSTS} SET {change} WHERE id = {number}")


_statement("a row is gone from PostgreSQL", "posts id=17", f"DELETE FROM {POSTS} WHERE id = 17")
_statement(
    "the last row of the source is gone from PostgreSQL",
    "stories id=2049",
    f"DELETE FROM {STORIES} WHERE _source_position = (SELECT max(_source_position) FROM {STORIES})",
    table=STORIES,
)
_post("a text is another", 20, "title = title || ' '")
_post("a number is another", 21, "user_id = user_id + 1")
_statement(
    "a null has become an empty text",
    "posts id=12",
    f"UPDATE {POSTS} SET body = '' WHERE id = 12 AND body IS NULL",
)
_post("a value has become null", 22, "body = NULL")
_post("a row has the run id of an older run", 23, "_run_id = 'first'")


@defect("I1", "a row of an older run has won")
async def older_won(target: DamagedStack) -> AsyncIterator[str]:
    first = await target.batch("first")
    requested_at = await target.value("SELECT requested_at FROM onpoint_runs.v_runs WHERE run_id = 'first'")
    async with target.altered(
        POSTS,
        f"UPDATE {POSTS} SET _run_id = 'first', _batch_id = $1, _requested_at = $2 WHERE id = 24",
        first,
        requested_at,
    ):
        yield "posts id=24"


_post("a row names another batch", 25, "_batch_id = repeat('0', 32)")
_post("a row names another moment", 26, "_requested_at = _requested_at + interval '1 microsecond'")
_post("a row names another place in the source", 27, "_source_position = 3")
_statement(
    "a row is there that nothing brought",
    "posts id=999999",
    f"INSERT INTO {POSTS} SELECT 999999, user_id, title, body, _run_id, _batch_id, _requested_at, "
    f"_source_position, etl_processed_at FROM {POSTS} WHERE id = 28",
)


@defect("I1", "a row is there twice")
async def twice(target: DamagedStack) -> AsyncIterator[str]:
    name = await target.value(
        f"SELECT conname FROM pg_constraint WHERE conrelid = '{POSTS}'::regclass AND contype = 'p'"
    )
    await target.database.execute(f"ALTER TABLE {POSTS} DROP CONSTRAINT {name}")
    async with target.altered(POSTS, f"INSERT INTO {POSTS} SELECT * FROM {POSTS} WHERE id = 29"):
        yield "posts id=29"
    await target.database.execute(f"ALTER TABLE {POSTS} ADD CONSTRAINT {name} PRIMARY KEY (id)")


_post("the earlier of two records with one key has won", 5, "title = 'the first of two'")
_statement(
    "a row of the run with a missing page is gone",
    "photos id=250",
    f"DELETE FROM {PHOTOS} WHERE id = (SELECT max(id) FROM {PHOTOS})",
    table=PHOTOS,
)


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


async def _position(target: DamagedStack, row: int) -> str:
    uri = await target.file("s3sink", "parquet")
    table = pa.BufferReader(target.pipeline.read(uri))
    positions = pa.parquet.read_table(table)["_source_position"].to_pylist()
    return f"(record {positions[row]} of first)"


def _lake(title: str, change: Callable[[pa.Table], pa.Table], row: int) -> None:
    @defect("I1", title)
    async def seed(target: DamagedStack) -> AsyncIterator[str]:
        subject = await _position(target, row)
        async with target.rewritten(await target.file("s3sink", "parquet"), change):
            yield subject


_lake("a row is gone from a lake object", lambda table: _without(table, 7), 7)
_lake("a row is twice in a lake object", lambda table: _with_double(table, 9), 9)
_lake("a text in the lake is another", lambda table: _with_value(table, "title", 11, "x"), 11)
_lake("a null in the lake is another", lambda table: _with_value(table, "user_id", 13, None), 13)
_lake(
    "a row in the lake names another batch", lambda table: _with_value(table, "_batch_id", 15, "0" * 32), 15
)


@defect("I1", "a column of a lake object has another name")
async def other_column(target: DamagedStack) -> AsyncIterator[str]:
    uri = await target.file("s3sink", "parquet")
    async with target.rewritten(uri, lambda table: table.rename_columns(["ident", *table.column_names[1:]])):
        yield uri


def _lines(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Callable[[bytes], bytes]:
    def anew(packed: bytes) -> bytes:
        text = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
        lines = change([json.loads(line) for line in text.split(b"\n") if line])
        return zstandard.compress(b"".join(json.dumps(line).encode() + b"\n" for line in lines))

    return anew


@defect("I1", "a refused record is not in quarantine")
async def not_in_quarantine(target: DamagedStack) -> AsyncIterator[str]:
    uri = await target.file("processor", "quarantine.jsonl.zst")
    async with target.damaged(uri, _lines(lambda lines: lines[1:])):
        yield await target.batch()


@defect("I1", "the raw text of a refused record is another")
async def other_raw(target: DamagedStack) -> AsyncIterator[str]:
    uri = await target.file("processor", "quarantine.jsonl.zst")
    async with target.damaged(uri, _lines(lambda lines: [{**lines[0], "raw": '{"id": 1}'}, *lines[1:]])):
        yield "posts record 40 of first"


@defect("I1", "a good record is in quarantine")
async def good_in_quarantine(target: DamagedStack) -> AsyncIterator[str]:
    uri = await target.file("processor", "quarantine.jsonl.zst")
    with target.options.sources["posts"].open(encoding="utf-8") as lines:
        good = lines.read().splitlines()[50]
    line = {"source_position": 50, "reason": "type", "raw": good, "detail": "", "url": None}
    async with target.damaged(uri, _lines(lambda lines: [line, *lines[1:]])):
        yield "posts record 50 of first"


@defect("I1", "a row vanished after a run that stored nothing", sources={})
async def vanished(target: DamagedStack) -> AsyncIterator[str]:
    async with target.altered(POSTS, f"DELETE FROM {POSTS} WHERE id = 17"):
        yield "posts id=17"


@defect("I1", "a refused run has brought a row", sources={})
async def of_a_refused_run(target: DamagedStack) -> AsyncIterator[str]:
    async with target.altered(
        POSTS,
        f"INSERT INTO {POSTS} SELECT 999998, user_id, title, body, 'refused', _batch_id, _requested_at, "
        f"_source_position, etl_processed_at FROM {POSTS} WHERE id = 28",
    ):
        yield "posts id=999998"


@defect("I1", "a run that stored nothing has brought a row", sources={})
async def of_a_run_without_data(target: DamagedStack) -> AsyncIterator[str]:
    moment = await target.value("SELECT requested_at FROM onpoint_runs.v_runs WHERE run_id = 'nothing'")
    async with target.altered(
        POSTS, f"UPDATE {POSTS} SET _run_id = 'nothing', _requested_at = $1 WHERE id = 28", moment
    ):
        yield "posts id=28"


def _albums(title: str, sql: str, subject: str) -> None:
    @defect("I1", title, sources={})
    async def seed(target: DamagedStack) -> AsyncIterator[str]:
        async with target.altered(ALBUMS, sql):
            yield subject


_albums(
    "a row vanished where a dead letter was discarded", f"DELETE FROM {ALBUMS} WHERE id = 3", "albums id=3"
)
_albums("a row is another where a dead letter was discarded",
        f"UPDATE {ALBUMS} SET title = 'x' WHERE id = 4", "albums id=4")  # fmt: skip
_albums("a row is of the batch whose dead letter was discarded",
        f"UPDATE {ALBUMS} SET _run_id = 'lost' WHERE id = 5", "albums id=5")  # fmt: skip


@defect("I1", "a lake object of a batch whose dead letter was discarded has lost a row", sources={})
async def lost_of_discarded(target: DamagedStack) -> AsyncIterator[str]:
    async with target.rewritten(
        await target.file("s3sink", "parquet", "lost", "albums"), lambda table: table.slice(1)
    ):
        yield "albums id=0 (record 0 of lost)"


def _late(
    title: str, change: Callable[[pa.Table], pa.Table], subject: str = "", run_id: str = "early"
) -> None:
    """In an object of the dataset whose file gained a column; with a source, and without."""
    asked: tuple[tuple[str, dict[str, Any]], ...] = (("", {}), (", no source is given", {"sources": {}}))
    for how, asks in asked:

        @defect("I1", title + how, **asks)
        async def seed(target: DamagedStack) -> AsyncIterator[str]:
            uri = await target.file("s3sink", "parquet", run_id, "late")
            async with target.rewritten(uri, change):
                yield subject or uri


_late("an object of before a column was gained has another value",
      lambda table: _with_value(table, "name", 0, "x"), "late id=0 (record 0 of early)")  # fmt: skip
_late("an object of before a column was gained has lost a value that the table no longer has",
      lambda table: _with_value(table, "name", 1, None), "late id=1 (record 1 of early)")  # fmt: skip
_late("an object of before a column was gained has lost a column", lambda table: table.drop_columns(["name"]))
_late("an object of before a column was gained has a value in it",
      lambda table: table.append_column("extra", pa.array([1] * table.num_rows)))  # fmt: skip
_late("an object lacks a column that was gained", lambda table: table.drop_columns(["extra"]), run_id="later")
_late("a column of an object has another type",
      lambda table: table.set_column(0, "id", table["id"].cast(pa.int32())))  # fmt: skip


def _late_row(title: str, change: str, subject: str) -> None:
    @defect("I1", title, sources={})
    async def seed(target: DamagedStack) -> AsyncIterator[str]:
        async with target.altered(LATE, f"UPDATE {LATE} SET {change}"):
            yield subject


_late_row("a value is gone from the column that was gained", "extra = NULL WHERE id = 2", "late id=2")
_late_row("a row of before a column was gained has lost a value", "name = NULL WHERE id = 6", "late id=6")


@defect("I1", "the table has lost a column", sources={})
async def lost_column(target: DamagedStack) -> AsyncIterator[str]:
    await target.database.execute(f"ALTER TABLE {LATE} RENAME COLUMN extra TO gone")
    yield "table onpoint_late"
    await target.database.execute(f"ALTER TABLE {LATE} RENAME COLUMN gone TO extra")


@defect("I1", "the table is gone", sources={})
async def lost_table(target: DamagedStack) -> AsyncIterator[str]:
    await target.database.execute(f"ALTER TABLE {LATE} RENAME TO gone")
    yield "table onpoint_late"
    await target.database.execute("ALTER TABLE public.gone RENAME TO onpoint_late")
