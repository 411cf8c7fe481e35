"""Replays of runs: batches are copied from another run, by the object store. No request goes to a source."""

from services.crawler.adapters.run_store import RunStore
from services.crawler.adapters.stored_results import StoredResults
from services.crawler.domain.plans import CrawlPlan, PlanFailure, failed_plan, plan_replay
from services.crawler.service.manifests import dead_batch, manifest_fields
from shared import crashpoints
from shared.errors import PermanentError
from shared.events import ids
from shared.events.models import BatchManifest, CrawlBatchRequested, CrawlRequest, ReplayWork
from shared.reasons import Reason
from shared.stages.failures import BatchFailedError
from shared.storage.errors import ObjectMissingError


class Replays:
    def __init__(self, runs: RunStore, archive: StoredResults) -> None:
        self._runs = runs
        self._results = archive

    async def plan(self, request: CrawlRequest, dataset: str) -> CrawlPlan:
        """As many batches as the old run has. A run without a plan of the dataset gives a failed plan, not an error.

        Raw lines are looked for where they were crawled: a replay from a later stage has none of its own.
        """
        run_id = request.replay_of or ""
        stage = "crawler" if request.from_stage == "processor" else "processor"
        old = await self._runs.find_plan(run_id, dataset)
        while old is not None and stage == "crawler" and old.replay is not None and old.replay.stage != stage:
            run_id = old.replay.run_id
            old = await self._runs.find_plan(run_id, dataset)
        if old is None:
            detail = f"run {run_id} has no plan of {dataset}: it was never made, or is gone"
            why = PlanFailure(url="", reason=Reason.OBJECT_MISSING, detail=detail)
            return failed_plan(request.run_id, dataset, why)
        batches = await self._batches_of(old) if old.batches is None else old.batches
        return plan_replay(
            old,
            run_id=request.run_id,
            batches=batches,
            stage="crawler" if stage == "crawler" else "processor",
        )

    async def copy_results(self, unit: CrawlBatchRequested, work: ReplayWork) -> BatchManifest:
        """The batch as the old run has it, its artifacts copied under the new run; to be committed.

        Raises `BatchFailedError` where it is dead there or an artifact is gone, `PermanentError`
        (`object_missing`) where there is no result of it.
        """
        old_id = ids.batch_id(work.run_id, unit.dataset, work.sequence)
        crawled = await self._results.result(work.run_id, unit.dataset, "crawler", old_id)
        old = crawled
        if work.stage == "processor" and (crawled is None or crawled.status == "done"):
            old = await self._results.result(work.run_id, unit.dataset, "processor", old_id)
        if old is None:
            raise PermanentError(
                Reason.OBJECT_MISSING,
                f"run {work.run_id} has no result of its batch {work.sequence} at the {work.stage}",
            )
        if old.status == "dead":
            raise _dead_there(unit, old, crawled or old)
        try:
            artifacts = tuple([await self._results.copy(old, each, unit.run_id) for each in old.artifacts])
        except ObjectMissingError as gone:
            raise _dead_as(unit, old, crawled or old, gone.reason, str(gone)) from gone
        crashpoints.reach("crawler.put")
        return BatchManifest(
            **manifest_fields(unit),
            first_position=old.first_position,
            parent_batch_ids=(old_id,),
            artifacts=artifacts,
            counts=old.counts,
            promised=crawled.promised if crawled is not None else None,
            detail=crawled.detail if crawled is not None else None,
            repeated=old.repeated,
            absent=old.absent,
            unnamed=old.unnamed,
            columns_version=old.columns_version,
            rejected_by_reason=old.rejected_by_reason,
            missing=crawled.missing if crawled is not None else (),
        )

    async def _batches_of(self, plan: CrawlPlan) -> int:
        """Batches of a crawl that found its end; one more where it broke off, which then has no result."""
        crawled = await self._results.batch_ids(plan.run_id, plan.dataset, "crawler")
        batches = plan.units
        while ids.batch_id(plan.run_id, plan.dataset, batches) in crawled:
            batches += 1
        last_id = ids.batch_id(plan.run_id, plan.dataset, batches - 1)
        last = await self._results.result(plan.run_id, plan.dataset, "crawler", last_id)
        is_whole = batches == plan.units if last is None else last.next is None
        return batches if is_whole else batches + 1


def _dead_there(unit: CrawlBatchRequested, old: BatchManifest, crawled: BatchManifest) -> BatchFailedError:
    if old.reason is Reason.CANCELLED:
        # The old run was cancelled; this one was not.
        return _dead_as(
            unit, old, crawled, Reason.OBJECT_MISSING, f"run {old.run_id} was cancelled before this batch"
        )
    reason = old.reason or Reason.HANDLER
    return _dead_as(unit, old, crawled, reason, f"dead in run {old.run_id} at the {old.stage}: {old.detail}")


def _dead_as(
    unit: CrawlBatchRequested, old: BatchManifest, crawled: BatchManifest, reason: Reason, detail: str
) -> BatchFailedError:
    dead = dead_batch(unit, PermanentError(reason, detail), rows=old.counts.read)
    return BatchFailedError(
        dead.model_copy(
            update={
                "first_position": old.first_position,
                "missing": crawled.missing,
                "promised": crawled.promised,
            }
        )
    )
