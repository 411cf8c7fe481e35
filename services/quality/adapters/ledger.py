from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import asyncpg
import orjson

from services.quality.adapters import statements
from services.quality.domain.ledger import (
    BatchRef,
    Failure,
    Milestone,
    Plan,
    Recorded,
    Request,
    printable,
    rows_forwarded,
)
from shared.events.models import BatchManifest, CrawlPlanned
from shared.postgres.errors import translated
from shared.reasons import Reason


@dataclass(frozen=True, slots=True)
class LedgerRepository:
    """The run ledger in PostgreSQL.

    Every method is one statement in a transaction of its own, and harmless when done again. Raises
    `DatabaseUnavailableError` in an outage.
    """

    pool: asyncpg.Pool

    async def add_request(self, request: Request) -> None:
        """Records the run; the first request of its id stays. Deletes requests older than a month."""
        with translated():
            await self.pool.execute(
                statements.REQUESTED,
                request.run_id,
                request.requested_at,
                request.requested_by,
                list(request.datasets) or None,
            )

    async def record_accepted(self, run_id: str) -> bool:
        """Records that the crawler has accepted the run. False: its request is not recorded yet, and nothing is stored."""
        with translated():
            return bool(await self.pool.fetchval(statements.ACCEPTED, run_id))

    async def record(self, result: BatchManifest) -> Recorded:
        """Stores the result unless its batch has one at this stage, and counts it if it was stored.

        A done result replaces a dead one, and a later dead one an earlier one: a stage commits one result, so the dead
        letter was redriven.
        """
        counts = result.counts
        return await self._record(result, result.reason, result.detail, read=counts.read)

    async def record_dead(self, batch: BatchRef, failure: Failure) -> Recorded:
        """As `record`, of a batch whose record was undecodable: its parent's result has the number of its rows."""
        result = BatchManifest(
            run_id=batch.run_id,
            dataset=batch.dataset,
            batch_id=failure.batch_id,
            sequence=batch.sequence,
            stage=failure.stage,
            status="dead",
            requested_at=batch.requested_at,
            produced_at=batch.requested_at,
            code_version="",
        )
        return await self._record(result, failure.reason, failure.detail, read=None)

    async def plan(self, planned: CrawlPlanned) -> None:
        """Stores the run's request and the dataset's plan; the first of each stays."""
        request = planned.request
        names = [] if request.refused is not None else list(dict.fromkeys(request.datasets))
        with translated():
            await self.pool.execute(
                statements.PLAN,
                planned.run_id,
                planned.requested_at,
                names,
                request.model_dump_json(),
                None if request.requested_by is None else printable(request.requested_by),
                None if request.refused is None else printable(request.refused),
                planned.dataset,
                planned.batches,
                planned.rows,
                request.replay_of,
                None if request.formats is None else list(request.formats),
                request.from_stage,
            )

    async def assign(self, kind: Literal["sealed", "drained"], run_id: str) -> Milestone | None:
        """The milestone, if the run has reached it now; only one caller ever gets it."""
        with translated():
            row = await self.pool.fetchrow(statements.ASSIGN[kind], run_id)
        return None if row is None else _milestone(kind, row)

    async def unpublished(self, older_than_s: float) -> list[Milestone]:
        """Milestones reached more than `older_than_s` ago and not marked as published."""
        with translated():
            rows = await self.pool.fetch(statements.UNPUBLISHED, older_than_s)
        return [_milestone(row["kind"], row) for row in rows]

    async def mark_published(self, run_id: str, kinds: Sequence[str]) -> None:
        with translated():
            await self.pool.execute(statements.MARK_PUBLISHED, run_id, kinds)

    async def add_failure(self, failure: Failure) -> None:
        """Stores a failure until a plan names its batch; deletes failures older than a month."""
        with translated():
            await self.pool.execute(
                statements.ADD_FAILURE,
                failure.batch_id,
                failure.stage,
                failure.unread,
                failure.reason,
                printable(failure.detail),
            )

    async def delete_failure(self, failure: Failure) -> None:
        with translated():
            await self.pool.execute(statements.DELETE_FAILURE, failure.batch_id, failure.stage)

    async def any_failure(self) -> bool:
        with translated():
            return bool(await self.pool.fetchval(statements.ANY_FAILURE))

    async def failures_of(self, batch_ids: Sequence[str]) -> list[Failure]:
        with translated():
            rows = await self.pool.fetch(statements.FAILURES_OF, batch_ids)
        return [
            Failure(row["batch_id"], row["stage"], row["unread"], Reason(row["reason"]), row["detail"])
            for row in rows
        ]

    async def batch_ref_of(self, batch_id: str) -> BatchRef | None:
        """Where a batch belongs, if any result of it is in the ledger."""
        with translated():
            row = await self.pool.fetchrow(statements.BATCH_REF_OF, batch_id)
        return None if row is None else BatchRef(**row)

    async def open_plans(self) -> list[Plan]:
        """The plans of all runs that go on."""
        with translated():
            return [Plan(**row) for row in await self.pool.fetch(statements.OPEN_PLANS)]

    async def _record(
        self, result: BatchManifest, reason: Reason | None, detail: str | None, *, read: int | None
    ) -> Recorded:
        counts = result.counts
        missing = [{"url": printable(page.url), "reason": printable(page.reason)} for page in result.missing]
        with translated():
            row = await self.pool.fetchrow(
                statements.RECORD[result.stage],
                result.run_id,
                result.requested_at,
                result.dataset,
                result.batch_id,
                result.sequence,
                result.status,
                reason,
                None if detail is None else printable(detail),
                read,
                counts.accepted,
                counts.rejected,
                counts.deduplicated,
                counts.loaded,
                counts.superseded,
                orjson.dumps([artifact.model_dump() for artifact in result.artifacts]).decode(),
                orjson.dumps(missing).decode(),
                None if read is None else result.produced_at,
                rows_forwarded(result),
                None if result.nulls is None else orjson.dumps(result.nulls).decode(),
                result.promised,
                result.repeated,
                orjson.dumps(result.rejected_by_reason).decode(),
                list(result.absent),
                [printable(name) for name in result.unnamed],
                counts.filtered,
                counts.added,
                result.cpu_ms,
            )
        if row is None:
            # The batch has this result under another run or dataset, or another replica recorded it meanwhile.
            return Recorded(inserted=False, is_redriven=False, may_be_sealed=True, may_be_drained=True)
        return Recorded(**row)


def _milestone(kind: Literal["sealed", "drained"], row: asyncpg.Record) -> Milestone:
    return Milestone(kind, row["run_id"], row["requested_at"], orjson.loads(row["batches"]))
