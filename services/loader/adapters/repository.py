"""The ledger of loaded batches and the data tables, always in one transaction."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import asyncpg

from services.loader.adapters import statements
from services.loader.adapters.merging import (
    Connection,
    Rows,
    copy,
    may_be_of_one_row,
    merge,
    merge_in_parts,
    unless_refused,
)
from services.loader.domain import (
    Merge,
    RefusedRow,
    columns_behind,
    columns_otherwise,
    counts_of,
    cut_off,
    lack_of,
    result_of,
)
from shared import crashpoints
from shared.datasets.model import Dataset
from shared.datasets.types import WIDER_IN_POSTGRES
from shared.errors import OnPointError, PermanentError, TransientError
from shared.events.decode import decode_event, encode
from shared.events.models import Artifact, BatchManifest
from shared.observability import tracing
from shared.observability.logging import get_logger
from shared.postgres.errors import (
    MigrationPendingError,
    PrivilegeMissingError,
    StatementFailedError,
    translated,
)
from shared.reasons import Reason
from shared.runtime.busy import cpu_ms
from shared.version import CODE_VERSION

log = get_logger()

_TAKES_THE_MERGE = (
    asyncpg.UniqueViolationError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.QueryCanceledError,
)
"""Keys that were new turned out not to be, or another transaction is about to write them, or the copy took too long."""

WIDEST_IN_POSTGRES = {kind for wider in WIDER_IN_POSTGRES.values() for kind in wider} | set(WIDER_IN_POSTGRES)
"""Types of columns that may be a step on the way to a wider one."""

Keep = Callable[[Sequence[RefusedRow]], Awaitable[Artifact]]
"""Puts refused rows into quarantine, durably."""


class LoadRepository:
    """Every method raises `DatabaseUnavailableError` in an outage, `PermanentError` for what PostgreSQL refuses, and
    `StatementFailedError` for a statement that failed for a reason which may pass, its time limit for instance.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._cut_off: set[str] = set()
        """Batches whose straight copy was ended, by its time limit perhaps: the next try takes the merge."""

    async def find(self, batch_id: str) -> BatchManifest | None:
        """The committed result of a batch, done or dead."""
        with translated():
            result = await self._pool.fetchval(statements.FIND, batch_id)
        return None if result is None else decode_event(BatchManifest, result.encode())

    async def commit_dead(self, dead: BatchManifest) -> bool:
        """False: the batch has a result already, which stays."""
        crashpoints.reach("loader.death")
        with translated():
            return bool(
                await self._pool.fetchval(statements.CLAIM, *_ledger_row(dead), encode(dead).decode())
            )

    async def clear_failure(self, batch_id: str) -> None:
        """A batch that is not dead is left as it is."""
        with translated():
            await self._pool.execute(statements.CLEAR_FAILURE, batch_id)

    async def load(
        self,
        batch: BatchManifest,
        dataset: Dataset,
        rows: Rows | None,
        nulls: Mapping[str, int],
        keep: Keep,
    ) -> BatchManifest | None:
        """All rows and the ledger's row, or nothing. None: another loader was first, and nothing is changed.

        `rows` is None for a batch without any; `nulls` counts theirs by column. Keys that are new to the table are
        copied straight into it; all others go through a temporary table and are merged, which costs three times as
        much. Rows that PostgreSQL refuses are found, left out and put into quarantine before the commit.

        Raises `MigrationPendingError` while `onpoint migrate` has yet to make the table or a column of it, and
        `PrivilegeMissingError` while the role may not load it.
        """
        may_go_straight = batch.batch_id not in self._cut_off
        try:
            with translated():
                async with self._pool.acquire() as connection, _traced_transaction(connection):
                    result = await _load(
                        connection, batch, dataset, rows, nulls, keep, may_go_straight=may_go_straight
                    )
                    crashpoints.reach("loader.merged")
        except _AnotherWasFirstError:
            return None
        except MigrationPendingError as error:
            raise await self._pending(dataset, error) from error
        except PrivilegeMissingError as error:
            raise await self._ungranted(dataset, error) from error
        except (TransientError, StatementFailedError):
            self._cut_off.add(batch.batch_id)
            raise
        self._cut_off.discard(batch.batch_id)
        crashpoints.reach("loader.committed")
        return result

    async def evolve(self, dataset: Dataset, columns: Mapping[str, str]) -> dict[str, str]:
        """Adds columns to the dataset's table or makes them wider; those that have another type nevertheless, and which.

        Each column is a transaction of its own, and idempotent. A column that becomes wider is written anew, row by row.
        Raises `MigrationPendingError` where `onpoint migrate` has not marked the table, and `PrivilegeMissingError`.
        """
        left = {}
        try:
            with translated():
                for name, wanted in columns.items():
                    if name not in dataset.added and wanted not in WIDEST_IN_POSTGRES:
                        left[name] = "of another type"
                        continue
                    found = await self._pool.fetchval(statements.EVOLVE, dataset.table, name, wanted)
                    if found == wanted:
                        log.info("column_evolved", table=dataset.table, column=name, type=wanted)
                    else:
                        left[name] = found
        except PrivilegeMissingError as error:
            with translated():
                grant = await self._pool.fetchval(statements.GRANT_EVOLVE)
            raise PrivilegeMissingError(f"dataset {dataset.name}: {error.__cause__}: {grant}") from error
        return left

    async def _pending(self, dataset: Dataset, error: MigrationPendingError) -> OnPointError:
        """What the dataset's table lacks. Where it lacks nothing, no migration helps: a trigger of it may be wrong."""
        with translated():
            columns = await self._pool.fetchval(statements.COLUMNS_OF_TABLE, statements.table_of(dataset))
        lack = lack_of(dataset, columns)
        if lack is None:
            return StatementFailedError(f"{error.__cause__}, and no migration of the dataset is missing")
        return MigrationPendingError(f"dataset {dataset.name}: {lack}: run `onpoint migrate`")

    async def _ungranted(self, dataset: Dataset, error: PrivilegeMissingError) -> OnPointError:
        """What to grant. Where nothing is missing, no grant on the table helps: its trigger or row policy refuses."""
        with translated():
            missing = await self._pool.fetch(statements.MISSING_GRANTS, dataset.table)
        if not missing:
            return StatementFailedError(
                f"{error.__cause__}, and no privilege on the dataset's table is missing"
            )
        grants = "; ".join(grant for [grant] in missing)
        return PrivilegeMissingError(f"dataset {dataset.name}: {error.__cause__}: {grants}")


@asynccontextmanager
async def _traced_transaction(connection: Connection) -> AsyncIterator[None]:
    """As `connection.transaction()`; its commit is a span."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    except BaseException:
        await transaction.rollback()
        raise
    with tracing.span("commit", "client", {"db.system.name": "postgresql"}):
        await transaction.commit()


class ColumnsBehindError(Exception):
    """The table of a dataset that evolves has yet to get these columns, or their types. Nothing was changed."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        super().__init__(", ".join(columns))
        self.columns = columns


class _AnotherWasFirstError(Exception):
    """Rolls back the transaction with the copied rows."""


async def _load(
    connection: Connection,
    batch: BatchManifest,
    dataset: Dataset,
    rows: Rows | None,
    nulls: Mapping[str, int],
    keep: Keep,
    *,
    may_go_straight: bool,
) -> BatchManifest:
    types = await _types(connection, dataset)
    if dataset.contract.is_fixed:
        may_go_straight &= _is_as_the_table(dataset, types)
    else:
        _require_columns(dataset, types)
    straight = 0 if rows is None else None
    if rows is not None and may_go_straight:
        straight = await _copy_straight(connection, batch, dataset, rows)
    if rows is None or straight is not None:
        await _claim(connection, batch, "straight")
        merged, refused = Merge(straight or 0, same_run=0), list[RefusedRow]()
    else:
        merged, refused = await _merge(connection, batch, dataset, rows)
    counts = counts_of(0 if rows is None else rows.count, merged, len(refused))
    loaded_at = await connection.fetchval("SELECT now()")
    result = result_of(
        batch,
        counts,
        nulls,
        repeated=merged.repeated,
        refused=refused,
        artifacts=(await keep(refused),) if refused else (),
        cpu_ms=cpu_ms(),
        produced_at=loaded_at,
        code_version=CODE_VERSION,
    )
    await connection.execute(
        statements.RECORD, batch.batch_id, counts.loaded, counts.superseded, encode(result).decode()
    )
    return result


async def _types(connection: Connection, dataset: Dataset) -> dict[str, str]:
    """Returned, the table's columns stay as they are for the transaction.

    Rows in another type than the table's would be taken for others: a binary COPY of integers into floats is no error.
    """
    await connection.execute(statements.keep_columns(dataset))
    found = await connection.fetch(statements.TYPES_OF_TABLE, statements.table_of(dataset))
    return {row["name"]: row["type"] for row in found}


def _is_as_the_table(dataset: Dataset, types: Mapping[str, str]) -> bool:
    """False: PostgreSQL has to convert values, which only the way through the temporary table does.

    Raises `PermanentError` where it would store a part of them.
    """
    others = columns_otherwise(dataset, types)
    if cut := cut_off(dataset, others):
        told = ", ".join(
            f"{name} is {others[name]} and {kind} in the dataset's file" for name, kind in cut.items()
        )
        raise PermanentError(
            Reason.SCHEMA,
            f"table {dataset.table}: {told}: values would be cut off; alter it, then replay the dead letter",
        )
    return not others


def _require_columns(dataset: Dataset, types: Mapping[str, str]) -> None:
    """Raises `ColumnsBehindError`, and `MigrationPendingError` where a column that the file names is yet to be made."""
    behind = columns_behind(dataset, types)
    if missing := [name for name in behind if name not in types and name not in dataset.added]:
        raise MigrationPendingError(f"table {dataset.table} has no column {', '.join(missing)}")
    if behind:
        raise ColumnsBehindError(behind)


async def _merge(
    connection: Connection, batch: BatchManifest, dataset: Dataset, rows: Rows
) -> tuple[Merge, list[RefusedRow]]:
    """Together, or, where a row is refused, in parts and without it."""

    async def copy_all() -> bool:
        await copy(connection, rows, rows.body(None))
        return True

    async def merge_all() -> Merge:
        return await merge(connection, dataset, rows.count, batch.produced_at)

    await connection.execute(statements.create_incoming(dataset))
    is_copied = await unless_refused(connection, dataset, copy_all)
    await _claim(connection, batch, "merge" if is_copied else "parts")
    merged = await unless_refused(connection, dataset, merge_all) if is_copied else None
    if merged is not None:
        return merged, []
    log.warning("batch_in_parts", rows=rows.count)
    return await merge_in_parts(connection, dataset, rows, batch.produced_at)


async def _claim(connection: Connection, batch: BatchManifest, way: str) -> None:
    """Takes the ledger's row: after the COPY, so that a process that was paused in it keeps no other from the ledger.

    Raises `_AnotherWasFirstError`.
    """
    log.info("batch_copied", way=way)
    crashpoints.reach("loader.copied")
    if not await connection.fetchval(statements.CLAIM, *_ledger_row(batch), "{}"):
        raise _AnotherWasFirstError


async def _copy_straight(
    connection: Connection, batch: BatchManifest, dataset: Dataset, rows: Rows
) -> int | None:
    """The rows that are in the table now; None, and nothing changed, where a key may be there already, or a row is
    refused.
    """
    if rows.keys is None or not await connection.fetchval(
        statements.is_new(dataset), rows.keys.least, rows.keys.greatest
    ):
        return None
    try:
        async with connection.transaction():
            await connection.execute(statements.straight_limits(connection.get_server_version().major))
            with tracing.span("COPY", "client", {"db.system.name": "postgresql", "onpoint.rows": rows.count}):
                status = await connection.copy_to_table(
                    dataset.table,
                    schema_name="public",
                    source=rows.body(batch.produced_at),
                    columns=[*rows.columns, "etl_processed_at"],
                    format="binary",
                )
    except asyncpg.PostgresError as error:
        if isinstance(error, _TAKES_THE_MERGE) or may_be_of_one_row(error):
            return None
        raise
    return int(status.removeprefix("COPY "))


def _ledger_row(batch: BatchManifest) -> tuple[str, str, str, str]:
    return batch.batch_id, batch.run_id, batch.dataset, batch.status
