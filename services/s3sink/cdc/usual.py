"""Records of the usual shape: msgspec reads each straight into its types, in one pass that also knows every name.

It decides nothing: where it answers, it answers as the queries do (`queries`), and leaves to them what has another shape.
That is a name that the table has not, a value of another type or one that was not logged, a TRUNCATE, and what is no change.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import compress
from operator import attrgetter
from typing import Annotated, Any, Final, Literal

import duckdb
import msgspec
import pyarrow as pa

from services.s3sink.cdc.columns import Column, as_sent, expression
from services.s3sink.cdc.queries import UNAVAILABLE, UNAVAILABLE_BYTES
from services.s3sink.cdc.rows import LAST_MS, LAST_OF_LOAD, LAST_OF_LOADS, Rows, named

SHAPES: Final = 256
"""Shapes that are remembered: one for each table, and one more for each time that its columns change."""

_OPERATIONS: Final = {"r": "I", "c": "I", "u": "U", "d": "D"}
_ARROW: Final = {
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "double precision": pa.float64(),
}
"""Types whose values need no work once they are read, besides texts. All others become what their text is in SQL."""
_NAMES_NOT_TAKEN: Final = re.compile(r'[\x00-\x1f"\\]')
"""By msgspec."""
_OPERATION, _SOURCE = attrgetter("op"), attrgetter("source")
_MS, _LSN, _TX = attrgetter("ts_ms"), attrgetter("lsn"), attrgetter("txId")
_UNCHANGED: Final = pa.list_(pa.field("l", pa.string()))
Compute = Callable[[str, pa.Table], pa.Table]
"""What a query makes of the table `texts`."""


class _NotLoggedError(Exception):
    """A value of them is Debezium's mark for one that PostgreSQL did not log."""


class _Source(msgspec.Struct, gc=False):
    ts_ms: Annotated[int, msgspec.Meta(ge=0, le=LAST_MS)]
    lsn: int | None = None
    txId: int | None = None  # noqa: N815 - as Debezium names it
    snapshot: str | bool | None = None


_OTHER_SHAPE = (
    _NotLoggedError,
    msgspec.MsgspecError,
    pa.ArrowInvalid,
    OverflowError,
    RecursionError,
    UnicodeDecodeError,
    duckdb.ConversionException,
    duckdb.InvalidInputException,
    duckdb.OutOfRangeException,
)


class UsualShape:
    """Of the records of a table with these columns. `usual_shape` makes it."""

    def __init__(self, columns: tuple[Column, ...], kinds: Sequence[type]) -> None:
        self._columns = columns
        self._kinds = kinds
        places = [f"v{at}" for at in range(len(columns))]
        row = msgspec.defstruct(
            "Row",
            [(place, kind | None, None) for place, kind in zip(places, kinds, strict=True)],
            rename={place: column.name for place, column in zip(places, columns, strict=True)},
            forbid_unknown_fields=True,
            gc=False,
        )
        change: list[tuple[str, Any] | tuple[str, Any, Any]] = [
            ("op", Literal["r", "c", "u", "d"]),
            ("source", _Source),
            ("before", row | None, None),
            ("after", row | None, None),
        ]
        self._decoder = msgspec.json.Decoder(msgspec.defstruct("Change", change, gc=False))
        self._values = [attrgetter(place) for place in places]
        content = [place for place, column in zip(places, columns, strict=True) if not column.is_lineage]
        self._content = attrgetter(*content)
        self._has_floats = float in kinds

    def read(self, values: Sequence[bytes], offsets: Sequence[int], compute: Compute) -> Rows | None:
        """The rows of records; None: they are not of this shape."""
        try:
            return self._rows(list(map(self._decoder.decode, values)), offsets, compute)
        except _OTHER_SHAPE:
            return None

    def _rows(self, changes: list[Any], offsets: Sequence[int], compute: Compute) -> Rows | None:
        operations = list(map(_OPERATION, changes))
        skipped = 0
        if "u" in operations:
            kept = [change.op != "u" or self._changes_something(change) for change in changes]
            skipped = kept.count(False)
            changes, offsets, operations = (
                list(compress(each, kept)) for each in (changes, offsets, operations)
            )
        sides = [change.before if change.op == "d" else change.after for change in changes]
        if None in sides:
            return None
        sources = list(map(_SOURCE, changes))
        arrays: dict[str, Any] = {
            "op": pa.array(list(map(_OPERATIONS.__getitem__, operations)), pa.string()),
            "at": pa.array(list(map(_MS, sources)), pa.int64()),
            "lsn": pa.array(list(map(_LSN, sources)), pa.int64()),
            "tx": pa.array(list(map(_TX, sources)), pa.int64()),
            "_offset": pa.array(offsets, pa.int64()),
            "unchanged": pa.nulls(len(changes), _UNCHANGED),
            **self._typed(sides, compute),
        }
        loaded = operations.count("r")
        ends_load = loaded > 0 and any(source.snapshot in {LAST_OF_LOAD, LAST_OF_LOADS} for source in sources)
        return Rows(
            named(arrays, self._columns),
            self._columns,
            skipped,
            loaded,
            begins_load=False,
            ends_load=ends_load,
        )

    def _changes_something(self, change: Any) -> bool:
        """Not where only lineage is another."""
        if change.before is None or change.after is None:
            return True
        old, new = self._content(change.before), self._content(change.after)
        # 0.0 and -0.0 are equal, and not the same.
        return old != new or (self._has_floats and repr(old) != repr(new))

    def _typed(self, sides: list[Any], compute: Compute) -> dict[str, Any]:
        arrays: dict[str, Any] = {}
        texts: dict[str, Any] = {}
        queries = []
        for at, (column, values) in enumerate(zip(self._columns, self._values, strict=True)):
            found = list(map(values, sides))
            if column.may_be_unchanged and (UNAVAILABLE in found or UNAVAILABLE_BYTES in found):
                raise _NotLoggedError
            value = expression(column, text := f"CAST(v{at} AS VARCHAR)")
            if (kind := pa.string() if value == text else _ARROW.get(column.type)) is not None:
                arrays[f"c{at}"] = pa.array(found, kind)
                continue
            texts[f"v{at}"] = pa.array(found, pa.int64() if self._kinds[at] is int else pa.string())
            queries.append(f"{value} AS c{at}")
        if queries:
            computed = compute(f"SELECT {', '.join(queries)} FROM texts", pa.table(texts))  # noqa: S608 - ours
            arrays |= {name: computed[name] for name in computed.column_names}
        return arrays


@lru_cache(SHAPES)
def usual_shape(columns: tuple[Column, ...]) -> UsualShape | None:
    """None where records of such a table have to be asked one by one: an update without a key is two rows."""
    kinds = [as_sent(column) for column in columns]
    if None in kinds or not any(column.in_key and not column.is_lineage for column in columns):
        return None
    if any(_NAMES_NOT_TAKEN.search(column.name) for column in columns):
        return None
    return UsualShape(columns, [kind for kind in kinds if kind is not None])
