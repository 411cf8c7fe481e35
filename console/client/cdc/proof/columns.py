"""A column of PostgreSQL as text, and that text as a value of the lake: written apart from the sink, so that a mistake of
one does not hide in the other.
"""

import re
from dataclasses import dataclass

import asyncpg

from shared.postgres.identifiers import quote

_COLUMNS = """
SELECT a.attname AS name, format_type(coalesce(nullif(t.typbasetype, 0), a.atttypid), NULL) AS type,
    a.attnum = ANY (coalesce(i.indkey::int2[], '{}')) AS in_key
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""

_MICROS = (
    "CASE WHEN isfinite({x}) THEN (extract(epoch FROM {x}) * 1000000)::bigint::text ELSE ({x})::text END"
)
_OUTPUT = "CASE WHEN {x} IS NOT NULL THEN format('%s', {x}) END"
"""As the type prints itself; a cast to text would take the blanks of a char(4), and give an address its mask."""

_TEXT_OF = {
    "bytea": "encode({x}, 'hex')",
    "date": "CASE WHEN isfinite({x}) THEN ({x} - date '1970-01-01')::text ELSE ({x})::text END",
    "timestamp without time zone": _MICROS,
    "timestamp with time zone": _MICROS,
    "time without time zone": "(extract(epoch FROM {x}) * 1000000)::bigint::text",
    "interval": (
        "'P' || extract(year FROM {x})::int || 'Y' || extract(month FROM {x})::int || 'M' || extract(day FROM {x})::int || "
        "'DT' || extract(hour FROM {x})::int || 'H' || extract(minute FROM {x})::int || 'M' || "
        "trim_scale(extract(second FROM {x})) || 'S'"
    ),
}
_INCOMPARABLE = frozenset(
    {
        "time with time zone",
        "money",
        "bit",
        "bit varying",
        "point",
        "xml",
        "hstore",
    }
)
"""Debezium writes them in a way of its own."""

_FINITE_DATE = "DATE '1970-01-01' + CAST({x} AS INTEGER)"
_FINITE_TIME = "CAST(make_timestamp(CAST({x} AS BIGINT)) AS {type})"
_VALUE_OF = {
    "BLOB": "unhex({x})",
    "DATE": (
        "CASE {x} WHEN 'infinity' THEN DATE '9999-12-31' WHEN '-infinity' THEN DATE '0001-01-01' "
        f"ELSE {_FINITE_DATE} END"
    ),
    "TIME": "CAST(make_timestamp(CAST({x} AS BIGINT)) AS TIME)",
    "TIMESTAMP_MS": (
        "CASE {x} WHEN 'infinity' THEN TIMESTAMP_MS '9999-12-31 23:59:59.999' "
        "WHEN '-infinity' THEN TIMESTAMP_MS '0001-01-01 00:00:00' "
        "ELSE CAST(make_timestamp(CAST({x} AS BIGINT)) AS TIMESTAMP_MS) END"
    ),
}
_LIST = re.compile(r"(.+)\[\]")


@dataclass(frozen=True, slots=True)
class SourceColumn:
    name: str
    type: str
    in_key: bool

    @property
    def is_comparable(self) -> bool:
        return self.type.removesuffix("[]") not in _INCOMPARABLE

    @property
    def text(self) -> str:
        """An expression of PostgreSQL."""
        name = quote(self.name)
        if not self.type.endswith("[]"):
            return f"{_TEXT_OF.get(self.type, _OUTPUT).format(x=name)}"
        element = _TEXT_OF.get(self.type.removesuffix("[]"), _OUTPUT).format(x="x")
        return (
            f"CASE WHEN {name} IS NOT NULL THEN (SELECT coalesce(json_agg({element} ORDER BY o), '[]')::text "  # noqa: S608 - quoted names
            f"FROM unnest({name}) WITH ORDINALITY u(x, o)) END"
        )


async def source_columns(connection: asyncpg.Connection, quoted_table: str) -> list[SourceColumn]:
    """In the order of the table."""
    rows = await connection.fetch(_COLUMNS, quoted_table)
    return [SourceColumn(row["name"], row["type"], row["in_key"]) for row in rows]


def value_of(text: str, lake_type: str) -> str:
    """An expression of DuckDB: the text of PostgreSQL as a value of the type that the lake has."""
    if found := _LIST.fullmatch(lake_type):
        return f"list_transform(CAST(from_json({text}, '[\"VARCHAR\"]') AS VARCHAR[]), lambda x: {value_of('x', found[1])})"
    return _VALUE_OF.get(lake_type, f"CAST({{x}} AS {lake_type})").format(x=text)
