"""The checks of a dataset, on the rows that a run delivered: by what is known of them, else by one scan of its table."""

import asyncio
import math
from collections.abc import Mapping, Sequence

import asyncpg

from services.quality.domain.checks import could_not_run, evaluate, unknown_dataset
from shared.datasets.model import Check, Dataset, NotNullCheck, RowCountCheck, UniqueCheck
from shared.errors import PermanentError
from shared.events.models import CheckResult
from shared.postgres.errors import translated
from shared.postgres.identifiers import quote
from shared.reasons import Reason

TIMEOUT_S = 400
"""Of all scans of a run. Below what a rebalance waits for a handler, with room for the rest of the completion."""

_PRIMARY_KEY = """
SELECT coalesce(array_agg(a.attname::text), '{}')
FROM pg_index i
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
WHERE i.indrelid = to_regclass($1) AND i.indisprimary
"""

_OF_RUN = "_run_id = $1 AND _requested_at = (SELECT requested_at FROM onpoint_runs.runs WHERE run_id = $1)"
"""The time is there for the table's block range index, which knows no run ids."""

_NULLS = "SELECT column_name, nulls FROM onpoint_runs.loaded_nulls WHERE run_id = $1 AND dataset = $2"

_PROVEN = 0
"""Rows that break a check which the table's primary key guards."""

_UNREADABLE = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.InsufficientPrivilegeError,
)
"""A table or column that is not there, or that this role may not read."""


class Checks:
    """Raises `DatabaseUnavailableError` in an outage; whatever else keeps a check from running is its result."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def run(
        self, run_id: str, rows_delivered: Mapping[str, int], datasets: Mapping[str, Dataset]
    ) -> list[CheckResult]:
        """The results for the datasets of `rows_delivered`, in its order and in the order of their files.

        `datasets` are those that count for the run; one that is not among them is a failed check.
        """
        deadline = asyncio.get_running_loop().time() + TIMEOUT_S
        results: list[CheckResult] = []
        for name, rows in rows_delivered.items():
            dataset = datasets.get(name)
            if dataset is None:
                results.append(unknown_dataset(name))
            else:
                results += await self._check(run_id, dataset, rows, deadline)
        return results

    async def _check(self, run_id: str, dataset: Dataset, rows: int, deadline: float) -> list[CheckResult]:
        scanned = [check for check in dataset.checks if not isinstance(check, RowCountCheck)]
        try:
            values = iter(await self._scan(run_id, dataset, scanned, deadline) if scanned else ())
        except PermanentError as error:
            return [
                evaluate(dataset.name, check, rows)
                if isinstance(check, RowCountCheck)
                else could_not_run(dataset.name, check, str(error))
                for check in dataset.checks
            ]
        return [
            evaluate(dataset.name, check, rows if isinstance(check, RowCountCheck) else next(values))
            for check in dataset.checks
        ]

    async def _scan(
        self, run_id: str, dataset: Dataset, checks: Sequence[Check], deadline: float
    ) -> list[int]:
        """One value per check. Raises `PermanentError` where the table cannot answer."""
        loop = asyncio.get_running_loop()
        table = f"public.{quote(dataset.table)}"
        with translated():
            async with self._pool.acquire() as connection, connection.transaction(readonly=True):
                counted = await connection.fetch(_NULLS, run_id, dataset.name)
                nulls = {row["column_name"]: row["nulls"] for row in counted}
                try:
                    proven = frozenset(await connection.fetchval(_PRIMARY_KEY, table))
                    known = [_known(check, proven, nulls) for check in checks]
                    if None in known:  # else there is an answer whatever time is left
                        # Not before the deadline: an earlier cancellation comes from the caller.
                        timeout_ms = 1 + max(0, math.ceil(1000 * (deadline - loop.time())))
                        await connection.execute(f"SET LOCAL statement_timeout = {timeout_ms}")
                    statement = _scan_sql(
                        table, [check for check, value in zip(checks, known, strict=True) if value is None]
                    )
                    row = await connection.fetchrow(statement, run_id)
                except _UNREADABLE as error:
                    # Elsewhere what is yet to be made or granted is waited for; this table must not keep the run open.
                    raise _unanswered(error) from error
                except asyncpg.QueryCanceledError as error:
                    if loop.time() < deadline:
                        raise
                    raise _unanswered(error) from error
        scanned = iter(() if row is None else row.values())
        return [next(scanned) if value is None else value for value in known]


def _unanswered(error: asyncpg.PostgresError) -> PermanentError:
    return PermanentError(Reason.SCHEMA, f"{type(error).__name__}: {error}")


def _known(check: Check, proven: frozenset[str], nulls: Mapping[str, int]) -> int | None:
    """How many rows break the check, where no row need be looked at. A first scan after a load writes every page anew.

    `proven`: the table's primary key. `nulls`: in the rows that the run brought, by column, where all were counted.
    """
    if isinstance(check, NotNullCheck):
        return nulls.get(check.column)
    if isinstance(check, UniqueCheck) and proven and proven <= set(check.columns):
        return _PROVEN
    return None


def _scan_sql(table: str, checks: Sequence[Check]) -> str:
    if not checks:
        return f"SELECT FROM {table} WHERE {_OF_RUN} LIMIT 0"
    values = ", ".join(_value_sql(check) for check in checks)
    return f"SELECT {values} FROM {table} WHERE {_OF_RUN}"  # noqa: S608 - every identifier is quoted


def _value_sql(check: Check) -> str:
    """How many rows break the check."""
    if isinstance(check, NotNullCheck):
        return f"count(*) FILTER (WHERE {quote(check.column)} IS NULL)"
    if isinstance(check, UniqueCheck):
        names = [quote(column) for column in check.columns]
        # As in SQL's own UNIQUE, null equals nothing.
        known = " AND ".join(f"{name} IS NOT NULL" for name in names)
        return (
            f"count(*) FILTER (WHERE {known}) - count(DISTINCT ({', '.join(names)})) FILTER (WHERE {known})"
        )
    raise TypeError(f"{type(check).__name__} is not counted in the table")
