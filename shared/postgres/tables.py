"""The data tables of the dataset files: made, and given the columns that a file gained."""

from collections.abc import Mapping

import asyncpg

from shared.datasets.column import Column
from shared.datasets.lineage import TABLE_LINEAGE
from shared.datasets.model import Dataset
from shared.datasets.type_spelling import type_of_postgres
from shared.datasets.types import WIDER_IN_POSTGRES
from shared.errors import ConfigurationError
from shared.postgres.identifiers import quote, quote_all

LINEAGE_DDL = ", ".join(f"{column.name} {column.sql_type} NOT NULL" for column in TABLE_LINEAGE)

_HAS_BRIN = """
SELECT EXISTS (
    SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
    WHERE i.indrelid = to_regclass($1) AND a.amname = 'brin'
)
"""


_PRIMARY_KEY = """
SELECT coalesce(array_agg(a.attname::text ORDER BY array_position(i.indkey::int2[], a.attnum)), '{}')
FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
WHERE i.indrelid = to_regclass($1) AND i.indisprimary
"""


_IS_REGISTERED = "SELECT to_regclass('onpoint_loader.evolving_tables') IS NOT NULL"

_REGISTER = """
INSERT INTO onpoint_loader.evolving_tables (table_name, adds, widens, most_columns)
SELECT $1, $2, $3, $4 + count(*) FROM pg_attribute
WHERE attrelid = to_regclass(format('public.%I', $1::text)) AND attnum > 0 AND NOT attisdropped
ON CONFLICT (table_name) DO UPDATE
SET adds = excluded.adds, widens = excluded.widens, most_columns = excluded.most_columns
"""

_FORGET = "DELETE FROM onpoint_loader.evolving_tables WHERE table_name = $1"


async def make_table(connection: asyncpg.Connection, dataset: Dataset) -> list[str]:
    """Brings the dataset's table up to date; returns what was done. Idempotent.

    Raises `ConfigurationError` for a table that does not fit its dataset.
    """
    done = [*await _make_table(connection, dataset), *await _make_index(connection, dataset)]
    await _register(connection, dataset)
    return done


async def _register(connection: asyncpg.Connection, dataset: Dataset) -> None:
    """Tells what the loader may change of the table."""
    if not await connection.fetchval(_IS_REGISTERED):
        return
    contract = dataset.contract
    if contract.is_fixed:
        await connection.execute(_FORGET, dataset.table)
        return
    adds, widens = contract.new_columns == "evolve", contract.types == "widen"
    await connection.execute(_REGISTER, dataset.table, adds, widens, contract.max_columns)


async def _make_table(connection: asyncpg.Connection, dataset: Dataset) -> list[str]:
    """Creates the table, or adds columns that the file gained. Never drops or retypes one."""
    existing = {
        row["attname"]: row["type"]
        for row in await connection.fetch(
            "SELECT attname, format_type(atttypid, atttypmod) AS type FROM pg_attribute "
            "WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
            f"public.{quote(dataset.table)}",
        )
    }
    if not existing:
        await connection.execute(create_table_sql(dataset))
        return [f"table {dataset.table}"]
    _check_lineage(existing)
    _check_types(dataset, existing)
    await _check_key(connection, dataset)
    done = []
    for column in dataset.columns:
        if column.name not in existing:
            await connection.execute(
                f"ALTER TABLE public.{quote(dataset.table)} ADD COLUMN {_column_sql(dataset, column)}"
            )
            done.append(f"table {dataset.table}: column {column.name}")
    return done


def _check_lineage(existing: Mapping[str, str]) -> None:
    """Raises `ConfigurationError` for a table that OnPoint did not make."""
    if missing := [column.name for column in TABLE_LINEAGE if column.name not in existing]:
        raise ConfigurationError(
            f"a table of that name is there, and OnPoint did not make it (it has no column {missing[0]}); nothing was "
            "changed: name another table in the file"
        )


def _check_types(dataset: Dataset, existing: Mapping[str, str]) -> None:
    for column in dataset.columns:
        wanted = column.value_type.postgres
        found = existing.get(column.name)
        if found is None or found == wanted or _has_widened(dataset, column, found):
            continue
        now = type_of_postgres(found)
        back = f"put `type: {now}` back in the file" if now else "give the file's column another name"
        table, name = f"public.{quote(dataset.table)}", quote(column.name)
        raise ConfigurationError(
            f"column {column.name} is {found} there, and its dataset file declares {column.type} ({wanted}); nothing was "
            f"changed. To go on, {back}, name another table in it, or change the column yourself while nothing is "
            f"loaded: ALTER TABLE {table} ALTER COLUMN {name} TYPE {wanted} USING {name}::{wanted}; then run "
            "`onpoint migrate` again"
        )


def _has_widened(dataset: Dataset, column: Column, found: str) -> bool:
    """Whether the loader made it wider, or might have."""
    wider = WIDER_IN_POSTGRES.get(column.value_type.postgres, ())
    return dataset.contract.types == "widen" and column.name not in dataset.key and found in wider


async def _check_key(connection: asyncpg.Connection, dataset: Dataset) -> None:
    """Raises `ConfigurationError` for another primary key than the dataset's: a merge would fail for every batch."""
    key = await connection.fetchval(_PRIMARY_KEY, f"public.{quote(dataset.table)}")
    if set(key) != set(dataset.key):
        raise ConfigurationError(
            f"its key is ({', '.join(key)}), its dataset file declares ({', '.join(dataset.key)}); nothing was changed. "
            "To go on, put the old key back, name another table in the file, or change the primary key of this one"
        )


async def _make_index(connection: asyncpg.Connection, dataset: Dataset) -> list[str]:
    """Finds a run's rows without a look at all others. A block range index: a run's rows were written together."""
    table = f"public.{quote(dataset.table)}"
    if await connection.fetchval(_HAS_BRIN, table):
        return []
    await connection.execute(f"CREATE INDEX ON {table} USING brin (_requested_at)")
    return [f"table {dataset.table}: index of its runs"]


def create_table_sql(dataset: Dataset) -> str:
    columns = ", ".join(_column_sql(dataset, column) for column in dataset.columns)
    return f"CREATE TABLE public.{quote(dataset.table)} ({columns}, {LINEAGE_DDL}, PRIMARY KEY ({quote_all(dataset.key)}))"


def _column_sql(dataset: Dataset, column: Column) -> str:
    null = " NOT NULL" if column.name in dataset.key else ""
    return f"{quote(column.name)} {column.value_type.postgres}{null}"
