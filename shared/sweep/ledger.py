"""The runs as quality's views tell of them (`onpoint_runs.v_sweep_runs`, `v_files`), and the compactions of the lake."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import asyncpg

from shared.postgres.errors import translated
from shared.sweep.rules import Run

_RUNS = """
SELECT run_id, requested_at, ended_at, dead_datasets
FROM onpoint_runs.v_sweep_runs
WHERE run_id = ANY ($1::text[])
"""

_RUNS_OF_HOURS = """
SELECT run_id, requested_at, ended_at, dead_datasets
FROM unnest($1::timestamptz[]) AS hour
JOIN onpoint_runs.v_sweep_runs ON requested_at >= hour AND requested_at < hour + interval '1 hour'
"""

_FILES = "SELECT uri FROM onpoint_runs.v_files WHERE run_id = ANY ($1::text[])"

_COMPACTED = """
SELECT given.uri FROM unnest($1::text[]) AS given (uri)
WHERE EXISTS (SELECT FROM onpoint_lake.compactions c WHERE c.uri = given.uri)
    OR EXISTS (
        SELECT FROM onpoint_lake.compactions c
        WHERE c.state = 'planned' AND c.folder = substring(given.uri FROM '^[a-z0-9]+://[^/]+/(.*)/[^/]+$')
    )
"""

_REPLACED = """
SELECT uri FROM onpoint_lake.v_replaced_files WHERE uri = ANY ($1::text[]) AND listed_at <= $2
"""


class LedgerRunIndex:
    """Raises `DatabaseUnavailableError` in an outage, `PermanentError` where the views are not what they should be."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def runs(self, run_ids: Collection[str]) -> Mapping[str, Run]:
        with translated():
            rows = await self._pool.fetch(_RUNS, list(run_ids))
        return {row["run_id"]: _run(row) for row in rows}

    async def runs_of_hours(self, hours: Collection[datetime]) -> Sequence[Run]:
        with translated():
            rows = await self._pool.fetch(_RUNS_OF_HOURS, list(hours))
        return [_run(row) for row in rows]

    async def files(self, run_ids: Collection[str]) -> frozenset[str]:
        with translated():
            rows = await self._pool.fetch(_FILES, list(run_ids))
        return frozenset(row["uri"] for row in rows)

    async def compacted(self, uris: Collection[str]) -> frozenset[str]:
        with translated():
            rows = await self._pool.fetch(_COMPACTED, list(uris))
        return frozenset(row["uri"] for row in rows)

    async def replaced(self, uris: Collection[str], before: datetime) -> frozenset[str]:
        with translated():
            rows = await self._pool.fetch(_REPLACED, list(uris), before)
        return frozenset(row["uri"] for row in rows)


def _run(row: asyncpg.Record) -> Run:
    return Run(row["run_id"], row["requested_at"], row["ended_at"], frozenset(row["dead_datasets"]))
