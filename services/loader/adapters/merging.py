"""A batch's rows into its table by way of the temporary one: all at once, or, where PostgreSQL refuses a row, without it."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import asyncpg

from services.loader.adapters import statements
from services.loader.domain import NOTHING_MERGED, KeyRange, Merge, RefusedRow
from shared.datasets.model import Dataset
from shared.errors import PermanentError
from shared.observability import tracing
from shared.postgres.errors import DatabaseUnavailableError, reason_of
from shared.postgres.identifiers import quote
from shared.postgres.versions import RETURNS_OLD_ROWS

MAX_REFUSED = 100
"""A batch of which PostgreSQL refuses more rows, or every one, is dead: something is wrong with the table rather than
with a row.

It bounds the search as well: at most twice this many tries for each halving of the batch.
"""

MAX_MESSAGE_CHARS = 500

LOCKED_TRIES = 5
"""Tries of a merge that meets rows inserted after it had locked the others. A second such try is rare."""

_OF_ONE_ROW = ("22", "23", "54000", "P0001", "44000")
"""A value beyond its column, a constraint, a row or key too long, what a trigger or a view raises."""

_DUPLICATE = "23505"

Connection = asyncpg.pool.PoolConnectionProxy

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch's rows, to be copied once or more often."""

    count: int
    columns: Sequence[str]
    keys: KeyRange | None
    """Where they ascend, as a merge takes them: two that take the same keys in one order never deadlock. Else None."""
    body: Callable[[datetime | None], AsyncIterator[bytes]]
    """A binary COPY of `columns`, from its start; with a time, of `etl_processed_at` after them."""
    part: Callable[[int, int], AsyncIterator[bytes]]
    """A binary COPY of `columns`, of the rows from one place up to, and without, another."""
    row: Callable[[int], dict[str, Any]]
    """The row at a place, by its columns."""


def may_be_of_one_row(error: asyncpg.PostgresError) -> bool:
    return (error.sqlstate or "").startswith(_OF_ONE_ROW)


async def unless_refused(
    connection: Connection, dataset: Dataset, action: Callable[[], Awaitable[_Result]]
) -> _Result | None:
    """What the action returns; None, and nothing changed, where PostgreSQL refuses a row in it."""
    result = await _try(connection, dataset, action)
    return None if isinstance(result, asyncpg.PostgresError) else result


async def copy(connection: Connection, rows: Rows, source: AsyncIterator[bytes]) -> None:
    with tracing.span("COPY", "client", {"db.system.name": "postgresql", "onpoint.rows": rows.count}):
        await connection.copy_to_table(
            statements.INCOMING, source=source, columns=list(rows.columns), format="binary"
        )


async def merge(connection: Connection, dataset: Dataset, rows: int, processed_at: datetime) -> Merge:
    """Moves what was copied, `rows` of them, into the table."""
    with tracing.span("merge", "client", {"db.system.name": "postgresql", "onpoint.rows": rows}):
        if connection.get_server_version().major >= RETURNS_OLD_ROWS:
            [found] = await connection.fetch(statements.merge(dataset), processed_at)
        else:
            found = await _merge_locked(connection, dataset, processed_at)
    written, lost = found["written"], 0
    if written < rows:
        lost = max(0, await connection.fetchval(statements.count_of_run(dataset)) - written)
    return Merge(written, found["same_run"], found["repeated"] + lost)


class _UnlockedError(Exception):
    """Rolls back a merge that met rows which were inserted after the others had been locked.

    Another load may have replaced such a row before the merge did, with other content.
    """


async def _merge_locked(connection: Connection, dataset: Dataset, processed_at: datetime) -> asyncpg.Record:
    for _ in range(LOCKED_TRIES):
        with contextlib.suppress(_UnlockedError):
            async with connection.transaction():
                locked = await connection.fetchval(statements.lock_stored(dataset))
                [found] = await connection.fetch(statements.merge_locked(dataset), processed_at)
                if found["unseen"] or found["seen"] > locked:
                    raise _UnlockedError
                return found
    raise DatabaseUnavailableError(
        f"table {dataset.table}: other loads wrote the same new keys again and again"
    )


async def merge_in_parts(
    connection: Connection, dataset: Dataset, rows: Rows, processed_at: datetime
) -> tuple[Merge, list[RefusedRow]]:
    """Of rows that cannot be merged together: all but those that PostgreSQL refuses, and these.

    Halves what is refused until it is a single row. Raises `PermanentError` where more than `MAX_REFUSED` are, or all.
    """
    merged, refused = NOTHING_MERGED, list[RefusedRow]()
    waiting = _halves(0, rows.count)
    while waiting:
        start, stop = waiting.pop()

        async def merge_part(start: int = start, stop: int = stop) -> Merge:
            await connection.execute(statements.EMPTY_INCOMING)
            await copy(connection, rows, rows.part(start, stop))
            return await merge(connection, dataset, stop - start, processed_at)

        result = await _try(connection, dataset, merge_part)
        if isinstance(result, Merge):
            merged += result
        elif stop - start > 1:
            waiting += _halves(start, stop)
        else:
            refused.append(_refused(dataset, rows.row(start), result))
            if len(refused) > MAX_REFUSED:
                raise _too_many(f"more than {MAX_REFUSED}", refused[0], rows)
    if len(refused) == rows.count:
        raise _too_many("all", refused[0], rows)
    return merged, refused


def _too_many(how_many: str, first: RefusedRow, rows: Rows) -> PermanentError:
    return PermanentError(
        first.reason,
        f"PostgreSQL refuses {how_many} of its {rows.count} rows, so none is loaded: mend the table, then replay the "
        f"dead letter. The first, at position {first.position}: {first.detail}",
    )


def _halves(start: int, stop: int) -> list[tuple[int, int]]:
    """The first of them last, where a stack has its top."""
    middle = (start + stop) // 2
    return [(middle, stop), (start, middle)] if middle > start else [(start, stop)]


async def _try(
    connection: Connection, dataset: Dataset, action: Callable[[], Awaitable[_Result]]
) -> _Result | asyncpg.PostgresError:
    """The error, with nothing changed, where it is about a row; any other is raised."""
    try:
        async with connection.transaction():
            return await action()
    except asyncpg.PostgresError as error:
        if not may_be_of_one_row(error) or await _met_another(connection, dataset, error):
            raise
        return error


async def _met_another(connection: Connection, dataset: Dataset, error: asyncpg.PostgresError) -> bool:
    """A merge settles two rows with one key by itself; an index of the key that is being rebuilt meanwhile may still
    report a duplicate, and the next try succeeds.
    """
    if error.sqlstate != _DUPLICATE or error.table_name != dataset.table:
        return False
    table = f"public.{quote(dataset.table)}"
    columns = await connection.fetchval(statements.COLUMNS_OF_INDEX, table, error.constraint_name)
    return columns is None or set(columns) == set(dataset.key)


def _refused(dataset: Dataset, row: dict[str, Any], error: asyncpg.PostgresError) -> RefusedRow:
    names = [column.name for column in dataset.columns]
    return RefusedRow(
        position=row["_source_position"],
        reason=reason_of(error),
        detail=f"PostgreSQL: {error.args[0]}"[:MAX_MESSAGE_CHARS],
        values={name: row[name] for name in names if name in row},
    )
