"""Applies the `.sql` files of the packages once each, in order, and makes the data tables of the dataset files."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources

import asyncpg

from shared.datasets.model import Dataset
from shared.errors import ConfigurationError
from shared.postgres.lock_waiting import LockLimits, LockWait, LockWaitError, Report, report_nothing
from shared.postgres.tables import make_table
from shared.postgres.versions import check_version

APPLICATION_NAME = "onpoint_migrate"

_LOCK = 0x0A901_17
"""Advisory lock: two `onpoint migrate` at once take turns."""

_SERVER_GONE = ("08", "57P", "53")

_JOURNAL_TABLE = "onpoint_meta.migrations"

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


@dataclass(frozen=True, slots=True)
class Migration:
    service: str
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def number(self) -> str:
        """The digits that its name begins with."""
        return self.name.partition("_")[0]


def find_migrations(package: str) -> list[Migration]:
    """The files `sql/NNNN_*.sql` of a package, in the order of their names: `services.loader` is the loader's."""
    service = package.rpartition(".")[2]
    files = resources.files(package).joinpath("sql").iterdir()
    return sorted(
        (
            Migration(service, file.name, file.read_text(encoding="utf-8"))
            for file in files
            if file.name[:1].isdigit() and file.name.endswith(".sql")
        ),
        key=lambda migration: migration.name,
    )


async def missing_migrations(
    connection: asyncpg.Connection | asyncpg.pool.PoolConnectionProxy, needed: Sequence[Migration]
) -> list[Migration]:
    """Those of `needed` that are not applied, by their names."""
    if await connection.fetchval("SELECT to_regclass($1) IS NULL", _JOURNAL_TABLE):
        return list(needed)
    rows = await connection.fetch("SELECT service, name FROM onpoint_meta.migrations")
    applied = {(row["service"], row["name"]) for row in rows}
    return [migration for migration in needed if (migration.service, migration.name) not in applied]


@dataclass(frozen=True, slots=True)
class TableFailure:
    """A dataset whose table is left as it was, and what to do about it."""

    dataset: str
    table: str
    reason: str

    def __str__(self) -> str:
        return f"dataset {self.dataset}: table {self.table}: {self.reason}"


class TablesError(ConfigurationError):
    """Some tables do not fit their datasets. Everything else was done and is listed in `done`."""

    def __init__(self, failures: Sequence[TableFailure], done: Sequence[str]) -> None:
        super().__init__("\n".join(str(failure) for failure in failures))
        self.failures = tuple(failures)
        self.done = tuple(done)


async def migrate(
    dsn: str,
    migrations: Sequence[Migration],
    datasets: Sequence[Dataset],
    *,
    report: Report = report_nothing,
    limits: LockLimits = LockLimits(),  # noqa: B008 - it is frozen
) -> list[str]:
    """Brings the database up to date; returns what was done. Idempotent.

    The services' own files are one transaction, each dataset's table is another: one that fails keeps no other from
    its table. A lock is waited for a few seconds at a time, so that no other statement queues behind the migration for
    long; it is requested again, and `report` is called with its holders.

    Raises `ConfigurationError` for a server that is too old and for a migration whose file changed after it was
    applied, `LockWaitError` where a lock for these files was not obtained, and `TablesError` at the end for tables
    whose columns or key do not fit their dataset, whose lock was not obtained, or that PostgreSQL refuses.
    """
    connection = await asyncpg.connect(dsn, server_settings={"application_name": APPLICATION_NAME})
    try:
        check_version(connection)
        async with LockWait(dsn, connection, report, limits) as locks:
            await locks.run(partial(connection.execute, "SELECT pg_advisory_lock($1)", _LOCK))
            done = await locks.run_transaction(partial(_apply, connection, migrations))
            return await _make_tables(connection, locks, datasets, done)
    finally:
        await connection.close()


async def _make_tables(
    connection: asyncpg.Connection, locks: LockWait, datasets: Sequence[Dataset], done: list[str]
) -> list[str]:
    failures = []
    for dataset in datasets:
        try:
            done += await locks.run_transaction(partial(make_table, connection, dataset))
        except (ConfigurationError, LockWaitError) as error:
            failures.append(TableFailure(dataset.name, dataset.table, str(error)))
        except asyncpg.PostgresError as error:
            if connection.is_closed() or (error.sqlstate or "").startswith(_SERVER_GONE):
                raise
            failures.append(TableFailure(dataset.name, dataset.table, f"PostgreSQL refuses it: {error}"))
    if failures:
        raise TablesError(failures, done)
    return done


async def _apply(connection: asyncpg.Connection, migrations: Sequence[Migration]) -> list[str]:
    await connection.execute(_JOURNAL)
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
