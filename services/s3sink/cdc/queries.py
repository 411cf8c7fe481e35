"""Debezium's records as rows, in the SQL of DuckDB. The table `records` has offsets (`o`) and JSON (`v`)."""

from collections.abc import Sequence
from typing import Final

from services.s3sink.cdc.columns import Column, expression
from services.s3sink.cdc.rows import LAST_MS, LAST_OF_LOAD, LAST_OF_LOADS

UNAVAILABLE: Final = "__debezium_unavailable_value"
UNAVAILABLE_BYTES: Final = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="
"""What Debezium writes where PostgreSQL did not log a value: of texts and, in base64, of bytes."""

_ENVELOPE = ("/op", "/source/ts_ms", "/source/lsn", "/source/txId", "/source/snapshot")
_GOOD = f"coalesce({{op}} IN ('r', 'c', 'u', 'd', 't') AND TRY_CAST({{at}} AS BIGINT) BETWEEN 0 AND {LAST_MS}, false)"

BAD_CHANGES: Final = (
    "SELECT o FROM records WHERE v IS NOT NULL AND NOT "  # noqa: S608 - ours
    + _GOOD.format(op="json_extract_string(v, '/op')", at="json_extract_string(v, '/source/ts_ms')")
    + " ORDER BY o"
)
BAD_JSON: Final = "SELECT o FROM records WHERE NOT json_valid(v) ORDER BY o"
COLUMN_NAMES: Final = (
    "SELECT DISTINCT unnest(names) AS name FROM "
    "(SELECT DISTINCT coalesce(json_keys(v, '/after'), json_keys(v, '/before')) AS names FROM records) ORDER BY name"
)


def rows(columns: Sequence[Column], *, has_placeholders: bool) -> str:
    """Of every change `op`, `at`, `lsn`, `tx`, `_offset`, `is_good`, `is_loaded`, `ends_load`, its values as c0, c1, … and
    `unchanged`.

    The JSON is read once: each text gets a column of its own, and the rest is work on columns. Rows come by offset, changes
    of lineage alone are left out. `is_loaded`: by a full load, and `ends_load`: as its last row. `has_placeholders`: whether
    Debezium's mark for a value that was not logged is anywhere in the records.
    """
    places = range(len(columns))
    marked = [at for at in places if has_placeholders and columns[at].may_be_unchanged]
    values = "".join(f"{expression(column, f'v{at}')} AS c{at}, " for at, column in enumerate(columns))
    sides = "".join(f", {_side(at, is_marked=at in marked)} AS v{at}" for at in places)
    return f"""
    WITH split AS MATERIALIZED ({_split(columns)}
    ), kept AS (
        SELECT *, {_operation(columns)} AS op FROM split
        WHERE operation IS DISTINCT FROM 'u' OR {_has_no_old_row(columns)} OR NOT ({_is_same(columns)})
    ), sided AS (SELECT *, op IN ('I', 'U') AS is_new{sides} FROM kept)
    SELECT op, epoch_ms(TRY_CAST(ms AS BIGINT)) AS at, TRY_CAST(lsn AS BIGINT) AS lsn, TRY_CAST(tx AS BIGINT) AS tx,
        o AS _offset, {_GOOD.format(op="operation", at="ms")} AS is_good, operation = 'r' AS is_loaded,
        coalesce(snapshot IN ('{LAST_OF_LOAD}', '{LAST_OF_LOADS}'), false) AS ends_load,
        {values}{_unchanged(columns, marked)} AS unchanged
    FROM sided {"" if _has_key(columns) else "ORDER BY o, op"}
    """  # noqa: S608 - our own names and quoted literals


def probe(column: Column) -> str:
    """Raises in DuckDB where values of the column do not fit its type."""
    new = f"json_extract_string(v, {_pointer('after', column)})"
    old = f"json_extract_string(v, {_pointer('before', column)})"
    values = f"count({expression(column, 'a')}), count({expression(column, 'b')})"
    return f"SELECT {values} FROM (SELECT {new} AS a, {old} AS b FROM records)"  # noqa: S608 - ours


def _split(columns: Sequence[Column]) -> str:
    """n0, n1, … are the new values and b0, b1, … the old ones, as texts."""
    paths = [f"'{path}'" for path in _ENVELOPE]
    paths += [_pointer("after", column) for column in columns]
    paths += [_pointer("before", column) for column in columns]
    names = ["operation", "ms", "lsn", "tx", "snapshot"]
    names += [f"n{at}" for at in range(len(columns))]
    names += [f"b{at}" for at in range(len(columns))]
    texts = ", ".join(f"e[{place}] AS {name}" for place, name in enumerate(names, start=1))
    return (
        f"SELECT o, {texts} FROM "  # noqa: S608 - our own names and quoted literals
        f"(SELECT o, json_extract_string(v, [{', '.join(paths)}]) AS e FROM records WHERE v IS NOT NULL)"
    )


def _has_key(columns: Sequence[Column]) -> bool:
    return any(column.in_key for column in columns)


def _operation(columns: Sequence[Column]) -> str:
    """An update of a table without a key is its old row gone and its new row come."""
    if _has_key(columns):
        return "CASE operation WHEN 'u' THEN 'U' WHEN 'd' THEN 'D' WHEN 't' THEN 'T' ELSE 'I' END"
    return "unnest(CASE operation WHEN 'u' THEN ['D', 'I'] WHEN 'd' THEN ['D'] WHEN 't' THEN ['T'] ELSE ['I'] END)"


def _has_no_old_row(columns: Sequence[Column]) -> str:
    return " AND ".join(f"b{at} IS NULL" for at in range(len(columns))) or "true"


def _is_same(columns: Sequence[Column]) -> str:
    """Whether nothing but lineage changed."""
    same = [f"b{at} IS NOT DISTINCT FROM n{at}" for at, column in enumerate(columns) if not column.is_lineage]
    return " AND ".join(same) or "true"


def _side(at: int, *, is_marked: bool) -> str:
    if not is_marked:
        return f"CASE WHEN is_new THEN n{at} ELSE b{at} END"
    return f"CASE WHEN NOT is_new THEN b{at} WHEN NOT coalesce({_is_absent(f'n{at}')}, false) THEN n{at} END"


def _unchanged(columns: Sequence[Column], marked: Sequence[int]) -> str:
    """The names of values that a change left as they were and PostgreSQL did not log; null: none."""
    if not marked:
        return "NULL::VARCHAR[]"
    names = ", ".join(
        f"CASE WHEN is_new AND {_is_absent(f'n{at}')} THEN {_literal(columns[at].name)} END" for at in marked
    )
    return f"nullif(list_filter([{names}]::VARCHAR[], lambda x: x IS NOT NULL), [])"


def _is_absent(text: str) -> str:
    """Whether Debezium did not get the value: its placeholder for texts, for bytes, and for lists."""
    return f"{text} IN ('{UNAVAILABLE}', '{UNAVAILABLE_BYTES}', '[\"{UNAVAILABLE}\"]', '[\"{UNAVAILABLE_BYTES}\"]')"


def _pointer(side: str, column: Column) -> str:
    """A JSON pointer, as an SQL literal."""
    return _literal(f"/{side}/{column.name.replace('~', '~0').replace('/', '~1')}")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
