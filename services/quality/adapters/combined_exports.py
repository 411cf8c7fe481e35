"""Combined exports in the ledger."""

import asyncpg
import orjson

from services.quality.domain.ledger import printable
from shared.events.models import ExportsCombined
from shared.postgres.errors import translated

# A done one replaces what has no more batches: one that was overtaken comes late and has fewer. A failed one leaves the
# files of the last that was done.
_RECORD = """
WITH recorded AS (
    INSERT INTO onpoint_runs.combined_exports AS c (
        run_id, dataset, format, status, detail, batches, manifest, artifacts, produced_at
    )
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9)
    ON CONFLICT (run_id, dataset, format) DO UPDATE SET
        status = excluded.status,
        detail = excluded.detail,
        batches = greatest(c.batches, excluded.batches),
        manifest = coalesce(excluded.manifest, c.manifest),
        artifacts = CASE WHEN excluded.status = 'done' THEN excluded.artifacts ELSE c.artifacts END,
        produced_at = excluded.produced_at
    WHERE CASE WHEN excluded.status = 'done' THEN excluded.batches >= c.batches
        ELSE excluded.produced_at > c.produced_at END
    RETURNING run_id
)
UPDATE onpoint_runs.runs r
SET listing_changes = r.listing_changes + 1
FROM recorded
WHERE r.run_id = recorded.run_id
"""


class CombinedExportRepository:
    """Raises `DatabaseUnavailableError` in an outage."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def record(self, combined: ExportsCombined) -> None:
        """Stores it, and has the listing of its run written again. Idempotent."""
        with translated():
            await self._pool.execute(
                _RECORD,
                combined.run_id,
                combined.dataset,
                combined.format,
                combined.status,
                None if combined.detail is None else printable(combined.detail),
                combined.batches,
                combined.manifest,
                orjson.dumps([file.model_dump() for file in combined.files]).decode(),
                combined.produced_at,
            )
