"""What a type of PostgreSQL is in the lake, and how its text in Debezium's JSON becomes that.

Expressions are of DuckDB; `{x}` is the text. An expression raises for a text that is no such value.
"""

import re
from dataclasses import dataclass
from typing import Final

from shared.datasets.lineage import RESERVED_COLUMNS

MAX_DIGITS = 38
# PostgreSQL's infinite times become the ends of the calendar: no reader of Parquet has such a time. The numbers are what
# Debezium 3.6 sends for them; infinite dates differ between changes and a full load.
_DATE = (
    "CASE WHEN {x} IN ('-2147472692', '-622191234') THEN DATE '9999-12-31' "
    "WHEN {x} IN ('-2147472691', '-625821272') THEN DATE '0001-01-01' "
    "ELSE DATE '1970-01-01' + CAST({x} AS INTEGER) END"
)
_TIMESTAMP = (
    "CASE {x} WHEN '9223372036825200000' THEN TIMESTAMP_MS '9999-12-31 23:59:59.999' "
    "WHEN '-9223372036832400000' THEN TIMESTAMP_MS '0001-01-01 00:00:00' "
    "ELSE CAST(make_timestamp(CAST({x} AS BIGINT)) AS TIMESTAMP_MS) END"
)
_INSTANT = (
    "CASE {x} WHEN 'infinity' THEN TIMESTAMP_MS '9999-12-31 23:59:59.999' "
    "WHEN '-infinity' THEN TIMESTAMP_MS '0001-01-01 00:00:00' "
    "ELSE CAST(CAST({x} AS TIMESTAMP) AS TIMESTAMP_MS) END"
)

_SCALARS: Final = {
    "boolean": "CAST({x} AS BOOLEAN)",
    "smallint": "CAST({x} AS SMALLINT)",
    "integer": "CAST({x} AS INTEGER)",
    "bigint": "CAST({x} AS BIGINT)",
    "oid": "CAST({x} AS BIGINT)",
    "real": "CAST({x} AS FLOAT)",
    "double precision": "CAST({x} AS DOUBLE)",
    "date": _DATE,
    "timestamp without time zone": _TIMESTAMP,
    "timestamp with time zone": _INSTANT,
    "time without time zone": "CAST(make_timestamp(CAST({x} AS BIGINT)) AS TIME)",
    "bytea": "from_base64({x})",
}
_TEXT = "{x}"
_WHOLE_NUMBERS: Final = {
    *("smallint", "integer", "bigint", "oid", "date"),
    *("timestamp without time zone", "time without time zone"),
}
"""Types that Debezium sends as such."""
_DIGITS = (
    "CASE {x} WHEN 'NAN' THEN 'NaN' WHEN 'POSITIVE_INFINITY' THEN 'Infinity' "
    "WHEN 'NEGATIVE_INFINITY' THEN '-Infinity' ELSE {x} END"
)
"""As PostgreSQL spells them."""
_NUMERIC = re.compile(r"numeric\((\d+),(\d+)\)")
_PRECISION = re.compile(r"^(time|timestamp)\(\d\)( .*)$")


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    """As PostgreSQL spells it; empty: the table has no such column any more."""
    in_key: bool = False
    as_text: bool = False
    """Its values do not fit its type: they stay as they came."""

    @property
    def is_lineage(self) -> bool:
        return self.name in RESERVED_COLUMNS

    @property
    def is_instant(self) -> bool:
        return not self.as_text and _PRECISION.sub(r"\1\2", self.type) == "timestamp with time zone"

    @property
    def may_be_unchanged(self) -> bool:
        """Whether PostgreSQL may store it apart, and then leave it out of a change that does not touch it."""
        return _scalar(self.type) in {_TEXT, _SCALARS["bytea"]} or self.type.endswith("[]")


def expression(column: Column, text: str) -> str:
    """The value of the column by its text, which is an SQL expression."""
    if column.as_text or not column.type:
        return text
    if column.type.endswith("[]"):
        element = _scalar(column.type[:-2])
        values = f"CAST(from_json({text}, '[\"VARCHAR\"]') AS VARCHAR[])"
        return values if element == _TEXT else f"list_transform({values}, lambda x: {element.format(x='x')})"
    return _scalar(column.type).format(x=text)


def as_sent(column: Column) -> type | None:
    """What its values are in Debezium's JSON, `str` unless known better; None: they are no plain values."""
    kind = _PRECISION.sub(r"\1\2", column.type)
    if column.as_text or not kind or kind.endswith("[]") or kind == "real":
        return None  # the text of a `real` is rounded once, and a number in between would be twice
    if kind == "boolean":
        return bool
    if kind == "double precision":
        return float
    return int if kind in _WHOLE_NUMBERS else str


def _scalar(kind: str) -> str:
    kind = _PRECISION.sub(r"\1\2", kind)
    if (
        (numeric := _NUMERIC.fullmatch(kind))
        and int(numeric[1]) <= MAX_DIGITS
        and int(numeric[2]) <= int(numeric[1])
    ):
        return f"CAST({{x}} AS DECIMAL({numeric[1]}, {numeric[2]}))"
    if kind.startswith("numeric"):
        return _DIGITS
    return _SCALARS.get(kind, _TEXT)
