"""Debezium's records as rows of the lake, column by column. What is not of the usual shape is read by DuckDB."""

from collections.abc import Sequence
from dataclasses import replace

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import stringzilla

from services.s3sink.cdc import queries
from services.s3sink.cdc.columns import Column
from services.s3sink.cdc.rows import Rows, named
from services.s3sink.cdc.usual import usual_shape
from shared.bus.batches import BadRecordsError, RecordBatch
from shared.errors import PermanentError
from shared.reasons import Reason

MEMORY = "512MB"
_MARKS = (queries.UNAVAILABLE.encode(), queries.UNAVAILABLE_BYTES.encode(), b"\\u")
"""Where none of them is in the records, every value was logged. An escape may hide a placeholder."""
_DOES_NOT_FIT = (duckdb.ConversionException, duckdb.InvalidInputException, duckdb.OutOfRangeException)


class Decoder:
    """Not for several threads. Calls block: use it in a thread."""

    def __init__(self, threads: int = 1) -> None:
        self._connection = duckdb.connect(config={"threads": threads, "memory_limit": MEMORY})

    def decode(self, batch: RecordBatch, columns: Sequence[Column]) -> Rows:
        """The rows of the records, in their order. A column that its values do not fit is text.

        Raises `BadRecordsError` for records that are no change of a row. Costs some 4 µs of CPU a record of 600 bytes,
        twice that where they are not of the usual shape, several times that where a value does not fit.
        """
        if (rows := self._usual(batch, columns)) is not None:
            return rows
        body, records = _arrow(batch)
        has_placeholders = any(stringzilla.find(body, mark) >= 0 for mark in _MARKS)
        self._connection.register("records", records)
        try:
            try:
                return self._rows(self._with_unknown(columns), records, has_placeholders=has_placeholders)
            except _DOES_NOT_FIT:
                self._refuse_bad()
            known = self._loosened(self._with_unknown(columns))
            return self._rows(known, records, has_placeholders=has_placeholders)
        finally:
            self._connection.unregister("records")

    def _usual(self, batch: RecordBatch, columns: Sequence[Column]) -> Rows | None:
        """None where the records are not of the usual shape."""
        if (shape := usual_shape(tuple(columns))) is None:
            return None
        values = [value for value in batch.values if value is not None]
        offsets = batch.offsets
        if len(values) < len(offsets):
            offsets = [o for o, value in zip(offsets, batch.values, strict=True) if value is not None]
        return shape.read(values, offsets, self._compute)

    def _compute(self, query: str, texts: pa.Table) -> pa.Table:
        self._connection.register("texts", texts)
        try:
            computed: pa.Table = self._connection.sql(query).to_arrow_table()
            return computed
        finally:
            self._connection.unregister("texts")

    def _with_unknown(self, columns: Sequence[Column]) -> tuple[Column, ...]:
        """And the columns that the records have and the table has not: it was dropped or renamed since."""
        found = self._connection.execute(queries.COLUMN_NAMES).fetchall()
        known = {column.name for column in columns}
        return (*columns, *(Column(name, "") for (name,) in found if name not in known))

    def _refuse_bad(self) -> None:
        """Raises `BadRecordsError` where there are records that are no change."""
        try:
            bad = self._connection.execute(queries.BAD_CHANGES).fetchall()
        except duckdb.Error:
            bad = self._connection.execute(queries.BAD_JSON).fetchall()
        if bad:
            why = PermanentError(Reason.DECODE, "it is no change of a row as Debezium sends it")
            raise BadRecordsError({offset: why for (offset,) in bad})

    def _rows(self, columns: tuple[Column, ...], records: pa.Table, *, has_placeholders: bool) -> Rows:
        query = queries.rows(columns, has_placeholders=has_placeholders)
        result = self._connection.sql(query).to_arrow_table()
        if not pc.all(result["is_good"], min_count=0).as_py():
            self._refuse_bad()
        changes = records.num_rows - records["v"].null_count
        skipped = changes - pc.count_distinct(result["_offset"]).as_py()
        mark = pc.max(pc.filter(result["_offset"], pc.equal(result["op"], pa.scalar("T")))).as_py()
        loaded = (
            result["is_loaded"]
            if mark is None
            else result["is_loaded"].filter(pc.greater(result["_offset"], mark))
        )
        rows = pc.sum(loaded, min_count=0).as_py()
        ends_load = bool(pc.any(result["ends_load"], min_count=0).as_py())
        return Rows(named(result, columns), columns, skipped, rows, mark is not None, ends_load)

    def _loosened(self, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        """The columns, those whose values do not fit as text."""
        loose = []
        for column in columns:
            try:
                self._connection.sql(queries.probe(column)).fetchall()
            except duckdb.Error:
                loose.append(replace(column, as_text=True))
            else:
                loose.append(column)
        if tuple(loose) == columns:
            raise RuntimeError("the records cannot be read, and each of their columns can")
        return tuple(loose)


def _arrow(batch: RecordBatch) -> tuple[bytes, pa.Table]:
    """The values one behind the other, and as a column. Raises `BadRecordsError`: what is no UTF-8 is no JSON."""
    present = [value is not None for value in batch.values]
    texts = [value or b"" for value in batch.values]
    body = b"".join(texts)
    ends = pc.cumulative_sum(pa.array([0, *map(len, texts)], pa.int64())).buffers()[1]
    nulls = None if all(present) else pa.array(present).buffers()[1]
    buffers = [nulls, ends, pa.py_buffer(body)]
    values = pa.Array.from_buffers(pa.large_string(), len(batch.values), buffers)
    try:
        values.validate(full=True)
    except pa.ArrowInvalid as error:
        bad = [offset for offset, text in zip(batch.offsets, texts, strict=True) if not _is_text(text)]
        why = PermanentError(Reason.ENCODING, "its value is no UTF-8")
        raise BadRecordsError(dict.fromkeys(bad, why)) from error
    return body, pa.table({"o": pa.array(batch.offsets, pa.int64()), "v": values})


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
