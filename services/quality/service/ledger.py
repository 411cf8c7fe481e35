"""Records results in the run ledger and publishes the milestones that a run reaches by them."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

from services.quality.adapters.ledger import LedgerRepository
from services.quality.domain.ledger import BatchRef, Failure, Milestone, Plan, Recorded, Request, find_batches
from services.quality.service.combinations import Combinations
from shared import crashpoints
from shared.bus.messages import Outgoing, Publish
from shared.errors import PermanentError
from shared.events import ids, topics
from shared.events.decode import decode_event
from shared.events.models import BatchManifest, CrawlPlanned, RunDrained, RunSealed
from shared.events.topology import PARENT_STAGE, STAGES_IN_STAGING, Stage
from shared.observability.logging import get_logger
from shared.observability.metrics import LEDGER_EVENTS
from shared.reasons import Reason
from shared.storage import keys
from shared.storage.object_store import ObjectStore

UNPUBLISHED_AFTER_S = 2.0
"""The age at which an unpublished milestone counts as left by a crash. Publishing takes milliseconds."""

IDS_PER_QUERY = 10_000

RUNS_REMEMBERED = 1_000
"""Running runs whose start is recorded: each of their crawl units would record it again."""

log = get_logger()


class LedgerService:
    """Idempotent; events may come in any order, twice, and to several replicas at once.

    Every method raises `DatabaseUnavailableError` or `StorageUnavailableError` in an outage.
    """

    def __init__(
        self, ledger: LedgerRepository, staging: ObjectStore, publish: Publish, combinations: Combinations
    ) -> None:
        self._ledger = ledger
        self._combinations = combinations
        self._staging = staging
        self._publish = publish
        self._accepted: OrderedDict[str, None] = OrderedDict()

    async def record_request(self, request: Request) -> None:
        """Records a run from its request on; the plan brings what the crawler accepted."""
        await self._ledger.add_request(request)

    async def record_accepted(self, run_id: str) -> None:
        """Records that the crawler has accepted the run. One statement per run and process."""
        if run_id in self._accepted or not await self._ledger.record_accepted(run_id):
            return
        self._accepted[run_id] = None
        if len(self._accepted) > RUNS_REMEMBERED:
            self._accepted.popitem(last=False)

    async def record_plan(self, planned: CrawlPlanned) -> None:
        """Raises `PermanentError` (`schema`) for a plan that contradicts its own request."""
        request = planned.request
        if request.run_id != planned.run_id:
            raise PermanentError(Reason.SCHEMA, "the plan is of another run than its request")
        if request.refused is None and planned.dataset not in request.datasets:
            raise PermanentError(Reason.SCHEMA, f"dataset {planned.dataset} is not part of the request")
        await self._ledger.plan(planned)
        if planned.dataset is not None and await self._ledger.any_failure():
            await self._match_failures(
                Plan(planned.run_id, planned.dataset, planned.batches, planned.requested_at)
            )
        await self._advance(planned.run_id, ("sealed", "drained"))

    async def record_result(self, result: BatchManifest) -> None:
        """Records and counts a stage's result unless the batch has one there that stays: any but a redriven dead one.

        Raises `PermanentError` for an id that is not its batch's.
        """
        if result.batch_id != ids.batch_id(result.run_id, result.dataset, result.sequence):
            raise PermanentError(Reason.SCHEMA, "the batch id is not that of its run, dataset and sequence")
        recorded = await self._ledger.record(result)
        await self._count(result.run_id, result.stage, recorded)
        if recorded.is_late and result.stage == "converter" and result.status == "done":
            # The run's exports may be combined already, without this batch.
            await self._publish(await self._combinations.requests(result.run_id, [result.dataset]))

    async def record_failure(self, failure: Failure) -> None:
        """Finds the batch of a failure, now or when its plan arrives; an id without a batch is dropped after a while."""
        # A failure is stored, then looked for; a plan is stored, then matched: of two at once, one sees the other.
        await self._ledger.add_failure(failure)
        batch = await self._ledger.batch_ref_of(failure.batch_id)
        if batch is None:
            plans = await self._ledger.open_plans()
            found = await asyncio.to_thread(find_batches, plans, frozenset({failure.batch_id}))
            batch = found.get(failure.batch_id)
        if batch is None:
            log.warning("failure_unmatched", failed_batch_id=failure.batch_id, stage=failure.stage)
        else:
            await self._match(failure, batch)

    async def publish_unpublished(self) -> int:
        """Publishes the milestones that a crash left unpublished; returns their number. Publishing twice is harmless."""
        milestones = await self._ledger.unpublished(UNPUBLISHED_AFTER_S)
        for milestone in milestones:
            log.warning("milestone_was_unpublished", run_id=milestone.run_id, kind=milestone.kind)
            await self._publish_milestones(milestone.run_id, [milestone])
        return len(milestones)

    async def _match_failures(self, plan: Plan) -> None:
        batch_ids = await asyncio.to_thread(lambda: list(plan.batch_ids()))
        sequences = {batch_id: sequence for sequence, batch_id in enumerate(batch_ids)}
        for start in range(0, len(batch_ids), IDS_PER_QUERY):
            for failure in await self._ledger.failures_of(batch_ids[start : start + IDS_PER_QUERY]):
                await self._match(failure, plan.batch_ref(sequences[failure.batch_id]))

    async def _match(self, failure: Failure, batch: BatchRef) -> None:
        """The result of an undecodable record may be in staging, where it is put before its event is published."""
        if failure.unread and failure.stage in STAGES_IN_STAGING:
            # Without a manifest the record was not a result of that stage: the result is still to come.
            await self._record_from_staging(batch, failure.batch_id, failure.stage)
        else:
            if (parent := PARENT_STAGE[failure.stage]) is not None and not failure.unread:
                await self._record_from_staging(batch, failure.batch_id, parent)
            await self._count(batch.run_id, failure.stage, await self._ledger.record_dead(batch, failure))
        await self._ledger.delete_failure(failure)

    async def _record_from_staging(self, batch: BatchRef, batch_id: str, stage: Stage) -> None:
        found = await self._staging.get(keys.manifest_key(batch.run_id, batch.dataset, stage, batch_id))
        if found is None:
            return
        try:
            result = decode_event(BatchManifest, found)
        except PermanentError as error:
            log.warning("manifest_undecodable", stage=stage, detail=str(error))
            return
        await self._count(batch.run_id, stage, await self._ledger.record(result))

    async def _count(self, run_id: str, stage: Stage, recorded: Recorded) -> None:
        LEDGER_EVENTS.labels(stage, "recorded" if recorded.inserted else "duplicate").inc()
        if recorded.is_redriven:
            log.info("batch_redriven", stage=stage)
        crashpoints.reach("quality.recorded")
        # A result that was there before is looked at too: a crash may have come between it and the milestone.
        if recorded.may_be_drained:
            await self._advance(run_id, ("sealed", "drained"))
        elif recorded.may_be_sealed and stage in {"crawler", "processor"}:
            await self._advance(run_id, ("sealed",))

    async def _advance(self, run_id: str, kinds: Sequence[Literal["sealed", "drained"]]) -> None:
        reached = [milestone for kind in kinds if (milestone := await self._ledger.assign(kind, run_id))]
        if reached:
            crashpoints.reach("quality.assigned")
            await self._publish_milestones(run_id, reached)

    async def _publish_milestones(self, run_id: str, milestones: Sequence[Milestone]) -> None:
        await self._publish([_milestone_event(milestone) for milestone in milestones])
        crashpoints.reach("quality.announced")
        await self._ledger.mark_published(run_id, [milestone.kind for milestone in milestones])
        for milestone in milestones:
            log.info("milestone_published", run_id=run_id, kind=milestone.kind)


def _milestone_event(milestone: Milestone) -> Outgoing:
    run_id, requested_at = milestone.run_id, milestone.requested_at
    if milestone.kind == "drained":
        return Outgoing(topics.RUN_DRAINED, run_id, RunDrained(run_id=run_id, requested_at=requested_at))
    sealed = RunSealed(run_id=run_id, requested_at=requested_at, batches=dict(milestone.batches))
    return Outgoing(topics.RUN_SEALED, run_id, sealed)
