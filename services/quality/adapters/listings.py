"""What a run's listing in the lake is made of, and how far behind the ledger it is."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg

from services.quality.domain.listing import ListedFile
from shared.postgres.errors import translated

FILES_PER_FETCH = 500

_DUE = """
SELECT run_id
FROM onpoint_runs.runs
WHERE listing_changes > listing_written AND status IS NOT NULL AND run_id <> ALL ($1::text[])
ORDER BY finished_at
LIMIT 100
"""

_HEAD = "SELECT listing_changes AS changes, superseded_by FROM onpoint_runs.runs WHERE run_id = $1"

# A writer that finds a later state written meanwhile may have overwritten it: the listing is written once more.
_WRITTEN = """
UPDATE onpoint_runs.runs
SET listing_written = greatest(listing_written, $2),
    listing_changes = listing_changes + (listing_written > $2)::int
WHERE run_id = $1 AND listing_written <> $2
RETURNING onpoint_lake.mark_changed(datasets)
"""

# Where a compaction replaced a file of the lake, the run's listing names the object that has its rows now.
_FILES = """
SELECT dataset, kind, uri, format, rows, bytes, sha256, rows_of_run
FROM (
    SELECT DISTINCT ON (f.dataset, f.place, a.uri)
        f.dataset, f.place, f.kind, a.uri, a.format, a.rows, a.bytes, a.sha256, NULL::bigint AS rows_of_run
    FROM (
        SELECT dataset, CASE stage WHEN 's3sink' THEN 0 ELSE 1 END AS place,
            CASE stage WHEN 's3sink' THEN 'objects' ELSE 'exports' END AS kind, artifacts
        FROM onpoint_runs.results
        WHERE run_id = $1 AND stage IN ('converter', 's3sink') AND status = 'done'
        UNION ALL
        SELECT dataset, 2, 'combined', artifacts FROM onpoint_runs.combined_exports WHERE run_id = $1
    ) AS f,
        jsonb_to_recordset(f.artifacts) AS a (uri text, format text, rows bigint, bytes bigint, sha256 text)
    WHERE NOT EXISTS (SELECT FROM onpoint_lake.v_replaced_files r WHERE r.uri = a.uri)
    UNION ALL
    SELECT f.dataset, 0, 'objects', f.uri, 'parquet', f.rows, f.bytes, f.sha256, r.rows
    FROM onpoint_lake.compaction_runs r JOIN onpoint_lake.v_compacted_files f USING (compaction)
    WHERE r.run_id = $1
) AS made
ORDER BY dataset, place, uri
"""


@dataclass(frozen=True, slots=True)
class ListingHead:
    changes: int
    """Of what the listing tells, so far."""
    superseded_by: str | None


class ListingRepository:
    """Raises `DatabaseUnavailableError` in an outage."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def due(self, backing_off: list[str]) -> list[str]:
        """Ended runs whose listing is behind, without those that rest; a hundred at most."""
        with translated():
            return [row["run_id"] for row in await self._pool.fetch(_DUE, backing_off)]

    async def head(self, run_id: str) -> ListingHead:
        with translated():
            row = await self._pool.fetchrow(_HEAD, run_id)
        if row is None:
            raise LookupError(run_id)
        return ListingHead(**row)

    async def files(self, run_id: str) -> AsyncIterator[ListedFile]:
        """Distinct files by dataset, lake objects before exports before combined ones. Memory is one fetch."""
        with translated():
            async with self._pool.acquire() as connection, connection.transaction(readonly=True):
                async for row in connection.cursor(_FILES, run_id, prefetch=FILES_PER_FETCH):
                    yield ListedFile(**row)

    async def written(self, run_id: str, changes: int) -> None:
        """The listing in the lake is as of this number of changes."""
        with translated():
            await self._pool.execute(_WRITTEN, run_id, changes)
