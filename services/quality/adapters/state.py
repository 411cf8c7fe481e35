"""What goes on in the pipeline, as the run ledger has it."""

from collections import defaultdict
from typing import Final, cast

import asyncpg

from services.quality.domain.state import OpenDataset, PipelineState
from shared.events.topology import Stage
from shared.postgres.errors import translated
from shared.progress.estimate import StageRecord

MOST_RUNS: Final = 50
MOST_DATASETS: Final = 50
"""Of open runs: 26 series each."""

_OPEN = """
SELECT clock_timestamp() AS now, count(*) AS runs,
    coalesce(max(extract(epoch FROM clock_timestamp() - requested_at)), 0)::float8 AS oldest_s
FROM onpoint_runs.runs WHERE status IS NULL
"""

_SHOWN = """
SELECT d.run_id, d.dataset, d.rows_planned
FROM (
    SELECT run_id, requested_at FROM onpoint_runs.runs WHERE status IS NULL
    ORDER BY requested_at DESC, run_id LIMIT $1
) AS r
JOIN onpoint_runs.datasets d USING (run_id)
ORDER BY r.requested_at DESC, r.run_id, d.dataset
LIMIT $2
"""

_DATASETS = """
SELECT count(*) FROM onpoint_runs.runs r JOIN onpoint_runs.datasets d USING (run_id) WHERE r.status IS NULL
"""

_STAGES = """
SELECT p.run_id, p.dataset, p.stage, p.batches_planned, p.rows_planned, p.batches_done + p.batches_dead AS batches_ended,
    p.batches_dead, p.rows, t.begun_at, t.half_at, coalesce(t.half_batches, 0) AS half_batches,
    coalesce(t.half_rows, 0) AS half_rows, t.last_at, coalesce(t.delay_s, 0) AS delay_s
FROM onpoint_runs.v_progress p
LEFT JOIN onpoint_runs.v_stage_times t ON t.run_id = p.run_id AND t.dataset = p.dataset AND t.stage = p.stage
    AND t.run_id = ANY ($1::text[])
WHERE p.run_id = ANY ($1::text[])
"""

_OLDEST = """
SELECT w.stage, max(extract(epoch FROM clock_timestamp() - w.since))::float8 AS age_s
FROM onpoint_runs.v_waiting w
WHERE w.run_id IN (SELECT run_id FROM onpoint_runs.runs WHERE status IS NULL)
GROUP BY w.stage
"""

_LATELY = """
SELECT count(*) FILTER (WHERE status <> 'cancelled') AS runs, count(*) FILTER (WHERE status = 'succeeded') AS succeeded,
    coalesce(sum(rows_crawled), 0)::bigint AS crawled, coalesce(sum(rows_rejected), 0)::bigint AS rejected
FROM onpoint_runs.runs
WHERE finished_at > clock_timestamp() - interval '24 hours'
"""


class StateRepository:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def read(self) -> PipelineState:
        """All at one moment. Raises `DatabaseUnavailableError`.

        Reads the results of the runs that go on: some 10 ms for a run of 2,000 batches.
        """
        with translated():
            async with (
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                opened = await connection.fetchrow(_OPEN)
                shown = await connection.fetch(_SHOWN, MOST_RUNS, MOST_DATASETS)
                datasets: int = await connection.fetchval(_DATASETS)
                stages = await connection.fetch(_STAGES, list({row["run_id"] for row in shown}))
                oldest = await connection.fetch(_OLDEST)
                lately = await connection.fetchrow(_LATELY)
        if opened is None or lately is None:
            raise AssertionError("an aggregate without a row")
        records = _records(stages)
        return PipelineState(
            now=opened["now"],
            open_runs=opened["runs"],
            oldest_open_run_s=opened["oldest_s"],
            datasets=[
                OpenDataset(
                    row["run_id"], row["dataset"], row["rows_planned"], records[row["run_id"], row["dataset"]]
                )
                for row in shown
            ],
            datasets_hidden=datasets - len(shown),
            oldest_batch_s={row["stage"]: row["age_s"] for row in oldest},
            run_success_ratio=_ratio(lately["succeeded"], lately["runs"]),
            row_success_ratio=_ratio(lately["crawled"] - lately["rejected"], lately["crawled"]),
        )


def _records(rows: list[asyncpg.Record]) -> defaultdict[tuple[str, str], list[StageRecord]]:
    found: defaultdict[tuple[str, str], list[StageRecord]] = defaultdict(list)
    for row in rows:
        values = dict(row)
        key = values.pop("run_id"), values.pop("dataset")
        found[key].append(StageRecord(stage=cast("Stage", values.pop("stage")), **values))
    return found


def _ratio(part: int, whole: int) -> float:
    """1 where there is nothing: nothing has failed."""
    return part / whole if whole else 1.0
