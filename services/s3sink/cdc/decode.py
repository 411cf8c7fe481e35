"""Debezium's records as rows of the lake, column by column: DuckDB reads the JSON, no row becomes a Python object."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from services.s3sink.cdc.columns import Column, expression
from shared.bus.batches import BadRecordsError, RecordBatch
from shared.errors import PermanentError
from shared.reasons import Reason

UNAVAILABLE: Final = "__debezium_unavailable_value"
UNAVAILABLE_BYTES: Final = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="
UNCHANGED: Final = "_unchanged"
"""The last column: names of values that a change left as they were and PostgreSQL did not log. Null: none."""

_ENVELOPE = ("/op", "/source/ts_ms", "/source/lsn", "/source/txId")
_OPERATIONS = "('r', 'c', 'u', 'd', 't')"
MEMORY = "512MB"


@dataclass(frozen=True, slots=True)
class Rows:
    table: pa.Table
    columns: tuple[Column, ...]
    """Those of the table, the ones that only records name among them."""
    skipped: int
    """Changes that change nothing, or only where a row came from."""


class Decoder:
    """Not for several threads. Calls block: use it in a thread."""

    def __init__(self, threads: int = 1) -> None:
        self._connection = duckdb.connect(config={"threads": threads, "memory_limit": MEMORY})

    def decode(self, batch: RecordBatch, columns: Sequence[Column]) -> Rows:
        """The rows of the records, in their order. A column that its values do not fit is text.

        Raises `BadRecordsError` for records that are no change of a row.
        """
        records = _arrow(batch)
        self._connection.register("records", records)
        try:
            self._check()
            known = tuple(columns) + self._unknown(columns)
            while True:
                try:
                    return self._rows(known, records.num_rows - records["v"].null_count)
                except (duckdb.ConversionException, duckdb.InvalidInputException, duckdb.OutOfRangeException):
                    known = self._loosened(known)
        finally:
            self._connection.unregister("records")

    def _unknown(self, columns: Sequence[Column]) -> tuple[Column, ...]:
        """Columns that the records have and the table has not: it was dropped or renamed since."""
        found = self._connection.execute(
            "SELECT DISTINCT unnest(names) FROM (SELECT DISTINCT "
            "coalesce(json_keys(v, '$.after'), json_keys(v, '$.before')) AS names FROM records)"
        ).fetchall()
        known = {column.name for column in columns}
        return tuple(Column(name, "") for (name,) in sorted(found) if name not in known)

    def _check(self) -> None:
        try:
            bad = self._bad(
                f"json_extract_string(v, '/op') IN {_OPERATIONS} AND json_type(v, '/source/ts_ms') = 'UBIGINT'"
            )
        except duckdb.Error:
            bad = self._bad("json_valid(v)")
        if bad:
            why = PermanentError(Reason.DECODE, "it is no change of a row as Debezium sends it")
            raise BadRecordsError(dict.fromkeys(bad, why))

    def _bad(self, good: str) -> list[int]:
        query = f"SELECT o FROM records WHERE v IS NOT NULL AND NOT coalesce({good}, false) ORDER BY o"  # noqa: S608 - ours
        return [offset for (offset,) in self._connection.execute(query).fetchall()]

    def _rows(self, columns: tuple[Column, ...], changes: int) -> Rows:
        result = self._connection.sql(_query(columns)).to_arrow_table()
        skipped = changes - pc.count_distinct(result["_offset"]).as_py()
        return Rows(_named(result, columns), columns, skipped)

    def _loosened(self, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        """The columns, those whose values do not fit as text."""
        loose = []
        for column in columns:
            try:
                self._connection.sql(_probe(column)).fetchall()
            except duckdb.Error:
                loose.append(replace(column, as_text=True))
            else:
                loose.append(column)
        if tuple(loose) == columns:
            raise RuntimeError("the records cannot be read, and each of their columns can")
        return tuple(loose)


def _arrow(batch: RecordBatch) -> pa.Table:
    """A value that is no UTF-8 is no JSON."""
    present = [value is not None for value in batch.values]
    sizes = pa.array([0, *(len(value or b"") for value in batch.values)], pa.int64())
    ends = pc.cumulative_sum(sizes).buffers()[1]
    body = pa.py_buffer(b"".join(value for value in batch.values if value is not None))
    nulls = None if all(present) else pa.array(present).buffers()[1]
    buffers = [nulls, ends, body]
    values = pa.Array.from_buffers(pa.large_string(), len(batch.values), buffers)
    try:
        values.validate(full=True)
    except pa.ArrowInvalid as error:
        pairs = zip(batch.offsets, batch.values, strict=True)
        bad = [offset for offset, value in pairs if value is not None and not _is_text(value)]
        why = PermanentError(Reason.ENCODING, "its value is no UTF-8")
        raise BadRecordsError(dict.fromkeys(bad, why)) from error
    return pa.table({"o": pa.array(batch.offsets, pa.int64()), "v": values})


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _pointer(side: str, column: Column) -> str:
    """A JSON pointer, as an SQL literal."""
    name = column.name.replace("~", "~0").replace("/", "~1").replace("'", "''")
    return f"'/{side}/{name}'"


def _query(columns: Sequence[Column]) -> str:
    paths = [f"'{path}'" for path in _ENVELOPE]
    paths += [_pointer("after", column) for column in columns]
    paths += [_pointer("before", column) for column in columns]
    after = [f"e[{len(_ENVELOPE) + 1 + place}]" for place in range(len(columns))]
    before = [f"e[{len(_ENVELOPE) + 1 + len(columns) + place}]" for place in range(len(columns))]
    same = " AND ".join(
        f"{old} IS NOT DISTINCT FROM {new}"
        for column, old, new in zip(columns, before, after, strict=True)
        if not column.is_lineage
    )
    has_key = any(column.in_key for column in columns)
    values = ", ".join(
        f"{expression(column, _value(column, old, new))} AS c{place}"
        for place, (column, old, new) in enumerate(zip(columns, before, after, strict=True))
    )
    unchanged = ", ".join(
        f"CASE WHEN is_new AND {_is_absent(new)} THEN {_literal(column.name)} END"
        for column, new in zip(columns, after, strict=True)
        if column.may_be_unchanged
    )
    # An update of a table without a key is its old row gone and its new row come.
    split = "['D', 'I']" if not has_key else "['U']"
    return f"""
    WITH read AS MATERIALIZED (
        SELECT o, json_extract_string(v, [{", ".join(paths)}]) AS e, json_type(v, '/before') = 'OBJECT' AS has_before
        FROM records WHERE v IS NOT NULL
    ), kept AS (
        SELECT *, unnest(CASE e[1] WHEN 'u' THEN {split} WHEN 'd' THEN ['D'] WHEN 't' THEN ['T'] ELSE ['I'] END) AS op
        FROM read WHERE NOT (e[1] = 'u' AND has_before AND {same or "true"})
    ), sided AS (SELECT *, op IN ('I', 'U') AS is_new FROM kept)
    SELECT op, epoch_ms(TRY_CAST(e[2] AS BIGINT)) AS at, TRY_CAST(e[3] AS BIGINT) AS lsn, TRY_CAST(e[4] AS BIGINT) AS tx,
        o AS _offset, {values}{"," if values else ""}
        nullif(list_filter([{unchanged}]::VARCHAR[], lambda x: x IS NOT NULL), []) AS unchanged
    FROM sided ORDER BY o, op
    """  # noqa: S608 - our own names and quoted literals


def _value(column: Column, old: str, new: str) -> str:
    side = f"CASE WHEN is_new THEN {new} ELSE {old} END"
    if not column.may_be_unchanged:
        return f"({side})"
    return f"(CASE WHEN NOT is_new THEN {old} WHEN NOT coalesce({_is_absent(new)}, false) THEN {new} END)"


def _is_absent(text: str) -> str:
    """Whether Debezium did not get the value: its placeholder for texts, for bytes, and for lists."""
    return f"{text} IN ('{UNAVAILABLE}', '{UNAVAILABLE_BYTES}', '[\"{UNAVAILABLE}\"]', '[\"{UNAVAILABLE_BYTES}\"]')"


def _probe(column: Column) -> str:
    new = f"json_extract_string(v, {_pointer('after', column)})"
    old = f"json_extract_string(v, {_pointer('before', column)})"
    values = f"count({expression(column, 'a')}), count({expression(column, 'b')})"
    return f"SELECT {values} FROM (SELECT {new} AS a, {old} AS b FROM records)"  # noqa: S608 - ours


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _named(result: pa.Table, columns: Sequence[Column]) -> pa.Table:
    """With the names of the lake. An instant is UTC."""
    instant = pa.timestamp("ms", "UTC")
    arrays: dict[str, Any] = {
        "Op": result["op"],
        "cdc_timestamp": result["at"].cast(instant),
        "_lsn": result["lsn"],
        "_tx": result["tx"],
        "_offset": result["_offset"],
    }
    for place, column in enumerate(columns):
        values = result[f"c{place}"]
        arrays[column.name] = values.cast(instant) if column.is_instant else values
    arrays[UNCHANGED] = result["unchanged"]
    return pa.table(arrays)
