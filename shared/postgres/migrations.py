"""Applies the services' `.sql` files once each, in order, and makes the data tables of the dataset files."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from shared.datasets.lineage import TABLE_LINEAGE
from shared.datasets.model import Column, ColumnType, Dataset
from shared.errors import ConfigurationError
from shared.postgres.identifiers import quote, quote_all

_LOCK = 0x0A901_17
"""Advisory lock: two `onpoint migrate` at once take turns."""

_JOURNAL = """
CREATE SCHEMA IF NOT EXISTS onpoint_meta;
CREATE TABLE IF NOT EXISTS onpoint_meta.migrations (
    service text NOT NULL,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (service, name)
);
"""

POSTGRES_TYPE: dict[ColumnType, str] = {
    "string": "text",
    "int64": "bigint",
    "float64": "double precision",
    "boolean": "boolean",
    "timestamp": "timestamptz",
    "date": "date",
}

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


@dataclass(frozen=True, slots=True)
class Migration:
    service: str
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def find_migrations(services: Path) -> list[Migration]:
    """`<services>/<name>/sql/NNNN_*.sql`, in the order of their names."""
    return [
        Migration(path.parent.parent.name, path.name, path.read_text(encoding="utf-8"))
        for path in sorted(services.glob("*/sql/[0-9]*.sql"))
    ]


@dataclass(frozen=True, slots=True)
class TableFailure:
    """A dataset whose table is left as it was, and what to do about it."""

    dataset: str
    table: str
    reason: str

    def __str__(self) -> str:
        return f"dataset {self.dataset}: table {self.table}: {self.reason}"


class TablesError(ConfigurationError):
    """Some tables do not fit their datasets. All else was done: `done` says what."""

    def __init__(self, failures: Sequence[TableFailure], done: Sequence[str]) -> None:
        super().__init__("\n".join(str(failure) for failure in failures))
        self.failures = tuple(failures)
        self.done = tuple(done)


async def migrate(dsn: str, migrations: Sequence[Migration], datasets: Sequence[Dataset]) -> list[str]:
    """Brings the database up to date; returns what was done. Idempotent.

    The services' own files are one transaction, each dataset's table is another: one that fails keeps no other from
    its table. Raises `ConfigurationError` for a migration whose file changed after it was applied, and `TablesError`
    at the end for tables whose columns or key do not fit their dataset, or that PostgreSQL refuses.
    """
    connection = await asyncpg.connect(dsn, server_settings={"application_name": "onpoint_migrate"})
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        async with connection.transaction():
            await connection.execute(_JOURNAL)
            done = await _apply(connection, migrations)
        failures = []
        for dataset in datasets:
            try:
                async with connection.transaction():
                    done += [*await _make_table(connection, dataset), *await _make_index(connection, dataset)]
            except ConfigurationError as error:
                failures.append(TableFailure(dataset.name, dataset.table, str(error)))
            except asyncpg.PostgresError as error:
                if connection.is_closed() or (error.sqlstate or "").startswith(_SERVER_GONE):
                    raise
                failures.append(TableFailure(dataset.name, dataset.table, f"PostgreSQL refuses it: {error}"))
        if failures:
            raise TablesError(failures, done)
        return done
    finally:
        await connection.close()


_SERVER_GONE = ("08", "57P", "53")


async def _apply(connection: asyncpg.Connection, migrations: Sequence[Migration]) -> list[str]:
    journal = {
        (row["service"], row["name"]): row["sha256"]
        for row in await connection.fetch("SELECT service, name, sha256 FROM onpoint_meta.migrations")
    }
    done = []
    for migration in migrations:
        applied = journal.get((migration.service, migration.name))
        if applied == migration.sha256:
            continue
        if applied is not None:
            raise ConfigurationError(f"{migration.service}/{migration.name} was changed after it was applied")
        await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO onpoint_meta.migrations (service, name, sha256) VALUES ($1, $2, $3)",
            migration.service,
            migration.name,
            migration.sha256,
        )
        done.append(f"{migration.service}: {migration.name}")
    return done


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
    """A table of somebody else is not ours to change."""
    if missing := [column.name for column in TABLE_LINEAGE if column.name not in existing]:
        raise ConfigurationError(
            f"a table of that name is there, and OnPoint did not make it (it has no column {missing[0]}); nothing was "
            "changed: name another table in the file"
        )


def _check_types(dataset: Dataset, existing: Mapping[str, str]) -> None:
    for column in dataset.columns:
        wanted = _canonical(column.type)
        found = existing.get(column.name)
        if found is None or found == wanted:
            continue
        now = next((name for name in POSTGRES_TYPE if _canonical(name) == found), None)
        back = f"put `type: {now}` back in the file" if now else "give the file's column another name"
        table, name = f"public.{quote(dataset.table)}", quote(column.name)
        raise ConfigurationError(
            f"column {column.name} is {found} there, and its dataset file says {column.type} ({wanted}); nothing was "
            f"changed. To go on, {back}, name another table in it, or change the column yourself while nothing is "
            f"loaded: ALTER TABLE {table} ALTER COLUMN {name} TYPE {wanted} USING {name}::{wanted}; then run "
            "`onpoint migrate` again"
        )


async def _check_key(connection: asyncpg.Connection, dataset: Dataset) -> None:
    """The key is what a merge goes by: with another one no batch could be loaded."""
    key = await connection.fetchval(_PRIMARY_KEY, f"public.{quote(dataset.table)}")
    if set(key) != set(dataset.key):
        raise ConfigurationError(
            f"its key is ({', '.join(key)}), its dataset file says ({', '.join(dataset.key)}); nothing was changed. "
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
    return f"{quote(column.name)} {POSTGRES_TYPE[column.type]}{null}"


def _canonical(column_type: ColumnType) -> str:
    return "timestamp with time zone" if column_type == "timestamp" else POSTGRES_TYPE[column_type]
