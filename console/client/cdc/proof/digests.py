"""A table and its changes as hashes of keys and rows: small enough to come back from a cluster.

A key and a row are each the lower 64 bits of an MD5 over their values as texts: that a difference stays unseen has odds of
one in 10^19 for each row. What hashes cannot tell is left to `compare`: tables without a key, values that were not logged,
columns whose type differs between objects, and which rows differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from console.client.cdc.proof.columns import SourceColumn, value_of
from console.client.cdc.proof.compare import MEMORY, compared, name_of, plain, read_source

_FIELDS: dict[str, pa.DataType] = {
    "key_hash": pa.uint64(),
    "row_hash": pa.uint64(),
    "place": pa.int64(),
    "is_gone": pa.bool_(),
}
LAST_OF_KEY = pa.schema(_FIELDS)


@dataclass(frozen=True, slots=True)
class ObjectDigest:
    """What counts of an object: the last change of each key."""

    last: pa.Table
    """As `LAST_OF_KEY`: hashes of key and row, offset, and whether it is a delete."""
    types: Mapping[str, str]
    """Of the compared columns that the object has."""
    mark: int
    """The offset of its last TRUNCATE, of any table's full load; -1: none."""
    is_whole: bool
    """False: it has values that were not logged."""


def digest_object(file: Path, columns: Sequence[SourceColumn], lsn: int) -> ObjectDigest:
    """Blocks: use it in a thread. Memory is bounded by `MEMORY`, and the result has 25 bytes a key."""
    used = compared(columns)
    with duckdb.connect(config={"memory_limit": MEMORY, "threads": 1}) as connection:
        connection.execute(
            "CREATE TABLE changes AS SELECT * FROM read_parquet(?) WHERE _lsn IS NULL OR _lsn <= ?",
            [str(file), lsn],
        )
        (mark,) = connection.execute(
            "SELECT coalesce(max(_offset) FILTER (Op = 'T'), -1) FROM changes"
        ).fetchone() or (-1,)
        (absent,) = connection.execute(
            "SELECT count(*) FROM changes WHERE _unchanged IS NOT NULL AND _offset > ?", [mark]
        ).fetchone() or (0,)
        there = dict(
            connection.execute(
                "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'changes'"
            ).fetchall()
        )
        types = {column.name: plain(there[column.name]) for column in used if column.name in there}
        values = {name: f"CAST({name_of(name)} AS {kind})" for name, kind in types.items()}
        last = connection.sql(
            "SELECT key_hash, arg_max(row_hash, place) AS row_hash, max(place) AS place, "  # noqa: S608 - quoted names
            "arg_max(is_gone, place) AS is_gone FROM ("
            f"SELECT {_hashes(used, values)}, _offset AS place, Op = 'D' AS is_gone FROM changes WHERE _offset > {mark}"
            ") GROUP BY key_hash"
        ).to_arrow_table()
        return ObjectDigest(last.cast(LAST_OF_KEY), types, int(mark), not absent)


def agree(
    objects: Sequence[ObjectDigest], rows: Path, columns: Sequence[SourceColumn], scratch: Path
) -> int | None:
    """The rows of the table where its changes add up to it; None where they do not, or where hashes cannot tell.

    `rows` are those of PostgreSQL, as `compare` takes them. Blocks: use it in a thread.
    """
    used = compared(columns)
    types: dict[str, str] = {}
    for each in objects:
        if not each.is_whole or any(
            types.setdefault(name, kind) != kind for name, kind in each.types.items()
        ):
            return None
    if not any(column.in_key for column in used):
        return None
    mark = max((each.mark for each in objects), default=-1)
    changes = pa.concat_tables([LAST_OF_KEY.empty_table(), *(each.last for each in objects)])
    with duckdb.connect(
        config={"memory_limit": MEMORY, "temp_directory": str(scratch / "spill")}
    ) as connection:
        connection.register("changes", changes)
        read_source(connection, rows, used)
        values = {
            column.name: value_of(f"t{place}", types.get(column.name, "VARCHAR"))
            for place, column in enumerate(used)
        }
        connection.execute(f"CREATE TABLE source AS SELECT {_hashes(used, values)} FROM texts")  # noqa: S608
        connection.execute(
            "CREATE TABLE rebuilt AS SELECT key_hash, arg_max(row_hash, place) AS row_hash FROM changes WHERE place > ? "
            "GROUP BY key_hash HAVING NOT arg_max(is_gone, place)",
            [mark],
        )
        [(differences, count)] = connection.execute(
            "SELECT count(*) FILTER (s.row_hash IS DISTINCT FROM r.row_hash), count(s.key_hash) "
            "FROM source s FULL JOIN rebuilt r USING (key_hash)"
        ).fetchall()
        return None if differences else int(count)


def _hashes(used: Sequence[SourceColumn], values: Mapping[str, str]) -> str:
    """Of the key and of the row. `values` are expressions; a column that has none is null."""
    texts = {column.name: f"CAST({values.get(column.name, 'NULL')} AS VARCHAR)" for column in used}
    key = ", ".join(texts[column.name] for column in used if column.in_key)
    return (
        f"md5_number_lower(to_json([{key}]::VARCHAR[])::VARCHAR) AS key_hash, "
        f"md5_number_lower(to_json([{', '.join(texts.values())}]::VARCHAR[])::VARCHAR) AS row_hash"
    )
