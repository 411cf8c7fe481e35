"""Records of the usual shape become the rows that the queries make of them."""

from typing import Any

import orjson
import pytest

from services.s3sink.cdc.columns import Column
from services.s3sink.cdc.decode import Decoder
from services.s3sink.cdc.rows import Rows
from services.s3sink.cdc.usual import UsualShape, usual_shape
from shared.bus.batches import RecordBatch

KEY = Column("id", "bigint", in_key=True)
VALUES: dict[str, list[Any]] = {
    "smallint": [-32768, 32767],
    "integer": [0, -(2**31)],
    "bigint": [2**63 - 1, -(2**63)],
    "oid": [2**32 - 1],
    "boolean": [True, False],
    "double precision": [0.1, -0.0, 1, 1.7976931348623157e308, 5e-324],
    "numeric(10,2)": ["12345678.90", "-0.01"],
    "numeric(50,2)": ["1" * 48 + ".25"],
    "numeric": ["NAN", "POSITIVE_INFINITY", "1.500"],
    "text": ["", "ü😀\u2028", 'a"b\\c\nd'],
    "character varying(20)": ["x"],
    "jsonb": ['{"a": [1, 2.50]}'],
    "uuid": ["a81bc81b-dead-4e5d-abff-90865d1e13b1"],
    "bytea": ["", "AQID"],
    "interval": ["P0Y1M2DT3H0M0.5S"],
    "date": [0, 20_786, -719_162, -2147472692, -625_821_272],
    "timestamp without time zone": [1, -1, 1_795_962_277_123_456, 9223372036825200000],
    "timestamp(3) without time zone": [1_795_962_277_123_000],
    "timestamp with time zone": ["2026-11-29T14:24:37.123456Z", "infinity", "-infinity"],
    "time without time zone": [0, 86_399_999_999],
}


def record(op: str, before: Any, after: Any, **source: Any) -> bytes:
    return orjson.dumps(
        {
            "before": before,
            "after": after,
            "source": {"db": "d", "ts_ms": 1, "lsn": 2, "txId": 3, "xmin": None, **source},
            "transaction": None,
            "op": op,
            "ts_ms": 5,
        }
    )


def both(
    monkeypatch: pytest.MonkeyPatch, columns: tuple[Column, ...], *values: bytes | None
) -> tuple[Rows, Rows]:
    """By the usual shape, and by the queries."""
    batch = RecordBatch("t", 0, range(7, 7 + len(values)), [0] * len(values), values)
    with monkeypatch.context() as patch:
        patch.setattr(Decoder, "_with_unknown", lambda *_: pytest.fail("it is not of the usual shape"))
        usual = Decoder().decode(batch, columns)
    with monkeypatch.context() as patch:
        patch.setattr(UsualShape, "read", lambda *_: None)
        return usual, Decoder().decode(batch, columns)


@pytest.mark.parametrize("kind", VALUES)
def test_values_of_each_type(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = (KEY, Column("v", kind))
    rows = [{"id": at, "v": value} for at, value in enumerate([*VALUES[kind], None])]
    records = [record(op, old, new) for row in rows for op, old, new in (("c", None, row), ("d", row, None))]
    usual, asked = both(monkeypatch, columns, *records, record("c", None, {"id": 99}))
    assert usual.table.schema == asked.table.schema
    assert repr(usual.table.to_pylist()) == repr(asked.table.to_pylist())
    assert usual.table.num_rows == len(records) + 1


def test_every_operation_and_what_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = (KEY, Column("f", "double precision"), Column("_run_id", "text"))
    row = {"id": 1, "f": 0.0, "_run_id": "a"}
    usual, asked = both(
        monkeypatch,
        columns,
        record("r", None, row),
        record("r", None, row, lsn=None, txId=None),
        None,
        record("c", None, row),
        record("u", row, {**row, "f": 2.5}),
        record("u", row, {**row, "f": -0.0}),
        record("u", row, {**row, "_run_id": "b"}),
        record("u", None, row),
        record("d", {"id": 1}, None),
    )
    assert usual.table.equals(asked.table)
    assert usual.table["_offset"].to_pylist() == [7, 8, 10, 11, 12, 14, 15]
    assert (usual.skipped, usual.loaded, usual.begins_load) == (1, 2, False)
    assert (asked.skipped, asked.loaded, asked.begins_load) == (1, 2, False)


@pytest.mark.parametrize(
    ("op", "snapshot", "ends"),
    [
        ("r", "last", True),
        ("r", "last_in_data_collection", True),
        ("r", "true", False),
        ("r", "incremental", False),
        ("r", None, False),
        ("c", "false", False),
    ],
)
def test_the_last_row_of_a_full_load_ends_it(
    op: str, snapshot: object, *, ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = record(op, None, {"id": 2}, snapshot=snapshot)
    usual, asked = both(monkeypatch, (KEY,), record("r", None, {"id": 1}, snapshot="first"), last)
    assert (usual.ends_load, asked.ends_load) == (ends, ends)


@pytest.mark.parametrize(
    "other",
    [
        record("c", None, {"id": 1, "v": 1, "new": 2}),
        record("c", None, {"id": 1, "v": "many"}),
        record("c", None, {"id": 1, "v": 2**31}),
        record("t", None, None),
        record("c", {"id": 1}, None),
        record("c", None, {"id": 1}, ts_ms=-1),
        record("c", None, {"id": 1}, lsn=2**63),
        record("m", None, {"id": 1}),
        record("c", None, {"id": 1}) * 2,
        b"\xff",
        b"",
    ],
)
def test_what_is_of_another_shape_is_left_to_the_queries(other: bytes) -> None:
    shape = usual_shape((KEY, Column("v", "integer")))
    assert shape is not None
    good = record("c", None, {"id": 1, "v": 1})
    assert shape.read([good, good], [0, 1], lambda *_: pytest.fail("no text")) is not None
    assert shape.read([good, other], [0, 1], lambda *_: pytest.fail("no text")) is None


@pytest.mark.parametrize(
    "columns",
    [
        (Column("a", "bigint"),),
        (KEY, Column("a", "real")),
        (KEY, Column("a", "integer[]")),
        (KEY, Column("a", "")),
        (KEY, Column("a", "integer", as_text=True)),
        (KEY, Column('a"', "integer")),
    ],
)
def test_tables_without_a_usual_shape(columns: tuple[Column, ...]) -> None:
    assert usual_shape(columns) is None
