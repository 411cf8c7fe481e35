"""Rebuilds a table from its changes and compares it, column by column in DuckDB: memory is bounded, the rest is on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from console.client.cdc.proof.columns import SourceColumn, value_of

MEMORY = "1GB"
SHOWN = 10

_LINEAGE = frozenset({"_run_id", "_batch_id", "_requested_at", "_source_position", "etl_processed_at"})
"""Where a row came from: a change of that alone is no change."""


@dataclass(frozen=True, slots=True)
class Difference:
    kind: str
    """missing (in the lake), extra (there), different."""
    key: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    rows: int
    """Of the table."""
    rebuilt: int
    """Rows that the changes add up to."""
    missing: int
    extra: int
    different: int
    shown: tuple[Difference, ...]
    not_compared: tuple[str, ...]

    @property
    def differences(self) -> int:
        return self.missing + self.extra + self.different


def compare(
    objects: Sequence[Path], rows: Path, columns: Sequence[SourceColumn], lsn: int, scratch: Path
) -> Comparison:
    """`rows` are those of PostgreSQL, with the columns that `compared` gives. Blocks: use it in a thread."""
    with duckdb.connect(
        config={"memory_limit": MEMORY, "temp_directory": str(scratch / "spill")}
    ) as connection:
        used = compared(columns)
        read_source(connection, rows, used)
        if objects:
            _read_changes(connection, objects, lsn)
        else:
            texts = "".join(f", {name_of(column.name)} VARCHAR" for column in used)
            connection.execute(
                f"CREATE TABLE changes (Op VARCHAR, _offset BIGINT, _unchanged VARCHAR[]{texts})"
            )
        types = dict(
            connection.execute(
                "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'changes'"
            ).fetchall()
        )
        _type_source(connection, used, types)
        keys = [column for column in used if column.in_key]
        if keys:
            _rebuild(connection, used, keys, types)
            return _by_key(connection, columns, used, keys)
        _add_up(connection, used, types)
        return _as_bags(connection, columns)


def compared(columns: Sequence[SourceColumn]) -> list[SourceColumn]:
    """Those whose values are compared."""
    return [column for column in columns if column.is_comparable and column.name not in _LINEAGE]


def read_source(connection: duckdb.DuckDBPyConnection, rows: Path, used: Sequence[SourceColumn]) -> None:
    """Makes the table `texts` of the row file: t0, t1, …"""
    names = ", ".join(f"'t{place}': 'VARCHAR'" for place in range(len(used)))
    connection.execute(
        f"CREATE TABLE texts AS SELECT * FROM read_csv(?, auto_detect = false, header = false, delim = ',', quote = '\"', "  # noqa: S608
        f"escape = '\"', nullstr = '\\N', allow_quoted_nulls = false, max_line_size = 268435456, new_line = '\\n', "
        f"parallel = false, columns = {{{names}}})",
        [str(rows)],
    )


def _read_changes(connection: duckdb.DuckDBPyConnection, objects: Sequence[Path], lsn: int) -> None:
    connection.execute(
        "CREATE TABLE changes AS WITH every AS "
        "(SELECT * FROM read_parquet(?, union_by_name = true) WHERE _lsn IS NULL OR _lsn <= ?) "
        "SELECT * FROM every WHERE _offset > coalesce((SELECT max(_offset) FROM every WHERE Op = 'T'), -1)",
        [[str(path) for path in objects], lsn],
    )


def _type_source(
    connection: duckdb.DuckDBPyConnection, used: Sequence[SourceColumn], types: dict[str, str]
) -> None:
    values = ", ".join(
        f"{value_of(f't{place}', plain(types.get(column.name, 'VARCHAR')))} AS c{place}"
        for place, column in enumerate(used)
    )
    connection.execute(f"CREATE TABLE source AS SELECT {values} FROM texts; DROP TABLE texts")  # noqa: S608


def _rebuild(
    connection: duckdb.DuckDBPyConnection,
    used: Sequence[SourceColumn],
    keys: Sequence[SourceColumn],
    types: dict[str, str],
) -> None:
    """The last state of each key. A value that a change left as it was is the last one that came."""
    names = {column.name: f"c{place}" for place, column in enumerate(used)}
    by = ", ".join(name_of(column.name) for column in keys)
    last = []
    for column in used:
        if column in keys:
            last.append(f"{_lake(column, types)} AS {names[column.name]}")
            continue
        known = f"_unchanged IS NULL OR NOT list_contains(_unchanged, {_literal(column.name)})"
        value = f"arg_max({{'v': {_lake(column, types)}}}, _offset) FILTER ({known})"
        last.append(f"({value}).v AS {names[column.name]}")
    connection.execute(
        f"CREATE TABLE rebuilt AS SELECT {', '.join(last)} FROM changes GROUP BY {by} "  # noqa: S608
        "HAVING arg_max(Op, _offset) <> 'D'"
    )


def _add_up(
    connection: duckdb.DuckDBPyConnection, used: Sequence[SourceColumn], types: dict[str, str]
) -> None:
    """Rows come and go by their values, where no key tells them apart."""
    values = ", ".join(f"{_lake(column, types)} AS c{place}" for place, column in enumerate(used))
    names = ", ".join(f"c{place}" for place in range(len(used)))
    connection.execute(
        f"CREATE TABLE rebuilt AS SELECT {names} FROM (SELECT * EXCLUDE (d), sum(d) AS n FROM "  # noqa: S608
        f"(SELECT {values}, CASE Op WHEN 'D' THEN -1 ELSE 1 END AS d FROM changes) GROUP BY ALL), "
        "range(greatest(n, 0)::BIGINT)"
        if used
        else "CREATE TABLE rebuilt AS SELECT 1 WHERE false"
    )


def _by_key(
    connection: duckdb.DuckDBPyConnection,
    columns: Sequence[SourceColumn],
    used: Sequence[SourceColumn],
    keys: Sequence[SourceColumn],
) -> Comparison:
    places = {column.name: place for place, column in enumerate(used)}
    on = " AND ".join(f"s.c{places[key.name]} = r.c{places[key.name]}" for key in keys)
    mark = f"c{places[keys[0].name]}"
    differing = ", ".join(
        f"CASE WHEN s.c{place} IS DISTINCT FROM r.c{place} THEN {_literal(column.name)} END"
        for place, column in enumerate(used)
        if not column.in_key
    )
    key = " || ', ' || ".join(
        f"coalesce(s.c{places[each.name]}, r.c{places[each.name]})::VARCHAR" for each in keys
    )
    connection.execute(
        f"CREATE TABLE found AS SELECT * FROM (SELECT {key} AS key, "  # noqa: S608
        f"CASE WHEN r.{mark} IS NULL THEN 'missing' WHEN s.{mark} IS NULL THEN 'extra' ELSE 'different' END AS kind, "
        f"list_filter([{differing}]::VARCHAR[], lambda x: x IS NOT NULL) AS columns "
        f"FROM source s FULL JOIN rebuilt r ON {on}) WHERE kind <> 'different' OR len(columns) > 0"
    )
    shown = connection.execute(
        "SELECT kind, key, CASE WHEN kind = 'different' THEN columns ELSE [] END FROM found ORDER BY key LIMIT ?",
        [SHOWN],
    ).fetchall()
    counts = dict(connection.execute("SELECT kind, count(*) FROM found GROUP BY kind").fetchall())
    return _result(
        connection, columns, counts, [Difference(kind, key, tuple(names)) for kind, key, names in shown]
    )


def _as_bags(connection: duckdb.DuckDBPyConnection, columns: Sequence[SourceColumn]) -> Comparison:
    counts: dict[str, int] = {}
    shown = []
    for kind, left, right in (("missing", "source", "rebuilt"), ("extra", "rebuilt", "source")):
        rows = f"(SELECT * FROM {left} EXCEPT ALL SELECT * FROM {right})"  # noqa: S608
        (counts[kind],) = connection.execute(f"SELECT count(*) FROM {rows}").fetchone() or (0,)  # noqa: S608
        values = connection.execute(f"SELECT to_json(x)::VARCHAR FROM {rows} x LIMIT ?", [SHOWN]).fetchall()  # noqa: S608
        shown += [Difference(kind, text) for (text,) in values]
    return _result(connection, columns, counts, shown)


def _result(
    connection: duckdb.DuckDBPyConnection,
    columns: Sequence[SourceColumn],
    counts: dict[str, int],
    shown: Sequence[Difference],
) -> Comparison:
    (rows,) = connection.execute("SELECT count(*) FROM source").fetchone() or (0,)
    (rebuilt,) = connection.execute("SELECT count(*) FROM rebuilt").fetchone() or (0,)
    return Comparison(
        rows,
        rebuilt,
        counts.get("missing", 0),
        counts.get("extra", 0),
        counts.get("different", 0),
        tuple(shown),
        tuple(column.name for column in columns if not column.is_comparable),
    )


def _lake(column: SourceColumn, types: dict[str, str]) -> str:
    """An instant without its zone, which is always UTC; a column that the lake has never seen is null."""
    if column.name not in types:
        return "NULL::VARCHAR"
    return f"CAST({name_of(column.name)} AS {plain(types[column.name])})"


def plain(kind: str) -> str:
    """The type as the sink wrote it: DuckDB reads times of milliseconds as its own finer ones."""
    suffix = "[]" if kind.endswith("[]") else ""
    base = kind.removesuffix("[]")
    return ("TIMESTAMP_MS" if base.startswith("TIMESTAMP") else base) + suffix


def name_of(name: str) -> str:
    """As SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
