"""Debezium's records as rows: what is refused, what is skipped, and what no type takes."""

from typing import Any

import orjson
import pytest

from services.s3sink.cdc.columns import Column
from services.s3sink.cdc.decode import Decoder
from services.s3sink.cdc.rows import Rows
from shared.bus.batches import BadRecordsError, RecordBatch

COLUMNS = (Column("id", "bigint", in_key=True), Column("v", "integer"), Column("_run_id", "text"))


def record(op: str, before: dict[str, Any] | None, after: dict[str, Any] | None) -> bytes:
    source = {"ts_ms": 1, "lsn": 2, "txId": 3}
    return orjson.dumps({"op": op, "before": before, "after": after, "source": source})


def decode(*values: bytes | None, columns: tuple[Column, ...] = COLUMNS) -> Rows:
    return Decoder().decode(RecordBatch("t", 0, range(len(values)), [0] * len(values), values), columns)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"{",
        b"null",
        b"1",
        b"[]",
        b"{}",
        b'{"op": "m"}',
        b'{"op": "c"}',
        b"\xff",
        b'{"op": "c", "source": 1}',
    ],
)
def test_what_is_no_change_is_named_by_its_offset_and_nothing_is_taken(bad: bytes) -> None:
    with pytest.raises(BadRecordsError) as caught:
        decode(record("c", None, {"id": 1}), bad, record("c", None, {"id": 2}))
    assert list(caught.value.bad) == [1]


def test_a_tombstone_is_passed_over() -> None:
    assert decode(None, record("c", None, {"id": 1}), None).table["_offset"].to_pylist() == [1]


def test_nothing_but_tombstones() -> None:
    assert decode(None, None).table.num_rows == 0


def test_a_change_of_lineage_alone_is_skipped_and_counted() -> None:
    old = {"id": 1, "v": 1, "_run_id": "a"}
    found = decode(record("u", old, {**old, "_run_id": "b"}), record("u", old, {**old, "v": 2}))
    assert (found.skipped, found.table["v"].to_pylist()) == (1, [2])


def test_a_change_whose_old_row_is_not_there_is_stored() -> None:
    assert decode(record("u", None, {"id": 1, "v": 1})).table["Op"].to_pylist() == ["U"]


def test_a_value_that_its_type_does_not_take_makes_its_column_text() -> None:
    found = decode(record("c", None, {"id": 1, "v": 1}), record("c", None, {"id": 2, "v": "many"}))
    assert found.table["v"].to_pylist() == ["1", "many"]
    assert found.table["id"].to_pylist() == [1, 2]


def test_a_column_that_the_table_no_longer_has_is_text_behind_the_others() -> None:
    found = decode(record("c", None, {"id": 1, "v": 1, "old": 7}))
    assert found.table.column_names[-2:] == ["old", "_unchanged"]
    assert found.table["old"].to_pylist() == ["7"]


def test_names_that_are_awkward_in_json_and_sql() -> None:
    names = ('a"b', "a'b", "a/b", "a~b", "A", "a", "Größe", "select", "a.b")
    columns = tuple(Column(name, "bigint", in_key=name == "a") for name in names)
    row = {name: place for place, name in enumerate(names)}
    found = decode(record("c", None, row), columns=columns).table
    assert {name: found[name][0].as_py() for name in names} == row


def test_texts_arrive_byte_for_byte() -> None:
    text = 'a"b\\c\n\t\u2028ü😀\x01 {"x": 1} null \'; DROP TABLE'
    columns = (Column("id", "bigint", in_key=True), Column("v", "text"))
    assert decode(record("c", None, {"id": 1, "v": text}), columns=columns).table["v"].to_pylist() == [text]


@pytest.mark.parametrize("mark", ["__debezium_unavailable_value", "\\u005f_debezium_unavailable_value"])
def test_a_value_that_was_not_logged_is_named_and_not_taken_for_one(mark: str) -> None:
    columns = (Column("id", "bigint", in_key=True), Column("v", "text"))
    change = record("u", None, {"id": 1, "v": "MARK"}).replace(b"MARK", mark.encode())
    found = decode(change, record("u", None, {"id": 2, "v": "x"}), columns=columns).table
    assert (found["v"].to_pylist(), found["_unchanged"].to_pylist()) == ([None, "x"], [["v"], None])


def test_an_update_without_a_key_is_its_old_row_gone_and_its_new_row_come() -> None:
    columns = (Column("a", "bigint"), Column("b", "text"))
    found = decode(
        record("u", {"a": 1, "b": "x"}, {"a": 1, "b": "y"}), record("c", None, {"a": 2}), columns=columns
    )
    assert found.table.select(["Op", "a", "b"]).to_pylist() == [
        {"Op": "D", "a": 1, "b": "x"},
        {"Op": "I", "a": 1, "b": "y"},
        {"Op": "I", "a": 2, "b": None},
    ]
    assert found.skipped == 0


@pytest.mark.parametrize("ms", [-1, 253_402_300_800_000, "soon"])
def test_a_moment_that_no_calendar_has_is_no_change(ms: object) -> None:
    bad = orjson.dumps({"op": "c", "after": {"id": 1}, "source": {"ts_ms": ms}})
    with pytest.raises(BadRecordsError) as caught:
        decode(record("c", None, {"id": 1}), bad)
    assert list(caught.value.bad) == [1]
