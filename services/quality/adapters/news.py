"""What the ledger has that may be news: runs that ended, and when each dataset was delivered last."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import asyncpg
import orjson

from shared.postgres.errors import translated

# A run that completed while no replica looked is found later: what is compared is what there is, not a position.
_UNTOLD = """
SELECT c.run_id
FROM onpoint_runs.completions c
WHERE c.completed_at >= greatest((SELECT at FROM onpoint_news.beginning), clock_timestamp() - interval '7 days')
  AND NOT EXISTS (SELECT FROM onpoint_news.items i WHERE i.item_id = 'run_completed/' || c.run_id)
ORDER BY c.completed_at
LIMIT 50
"""

# Its text is decoded here: it may hold a NUL, which PostgreSQL refuses to look into.
_BEFORE = """
SELECT v.value
FROM onpoint_runs.runs r JOIN onpoint_runs.verdicts v USING (run_id)
WHERE r.requested_at < (SELECT requested_at FROM onpoint_runs.runs WHERE run_id = $1) AND r.run_id <> $1
  AND r.replay_of IS NULL AND r.status IN ('succeeded', 'partial') AND $2 = ANY (r.datasets)
ORDER BY r.requested_at DESC
LIMIT 1
"""

_EXPECT = """
INSERT INTO onpoint_news.expectations (dataset) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING
"""

_EXPECTED = """
SELECT e.dataset, clock_timestamp() AS now, greatest(e.since, last.requested_at) AS since, last.run_id
FROM onpoint_news.expectations e
LEFT JOIN LATERAL (
    SELECT r.run_id, r.requested_at
    FROM onpoint_runs.runs r
    WHERE r.status IN ('succeeded', 'partial') AND e.dataset = ANY (r.datasets)
    ORDER BY r.requested_at DESC
    LIMIT 1
) last ON true
WHERE e.dataset = ANY ($1)
"""


@dataclass(frozen=True, slots=True)
class LastDelivery:
    dataset: str
    now: datetime
    since: datetime
    """The request of the last run that delivered the dataset; before any, when it became known that one is expected."""
    run_id: str | None


class NewsSources:
    """Raises `DatabaseUnavailableError` in an outage."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def untold_completions(self) -> list[str]:
        """Runs whose end is no news yet, the oldest first; 50 at most."""
        with translated():
            return [row["run_id"] for row in await self._pool.fetch(_UNTOLD)]

    async def rows_before(self, run_id: str, datasets: Iterable[str]) -> dict[str, int]:
        """By dataset, the rows that the last run before this one loaded. One row is read per dataset."""
        found: dict[str, int] = {}
        for dataset in datasets:
            with translated():
                value = await self._pool.fetchval(_BEFORE, run_id, dataset)
            if value is not None and (summary := orjson.loads(value)["datasets"].get(dataset)) is not None:
                found[dataset] = summary["rows_loaded"]
        return found

    async def last_deliveries(self, datasets: list[str]) -> list[LastDelivery]:
        """Of datasets of which runs are expected; from the first call on they are."""
        with translated():
            await self._pool.execute(_EXPECT, datasets)
            rows = await self._pool.fetch(_EXPECTED, datasets)
        return [LastDelivery(**row) for row in rows]
