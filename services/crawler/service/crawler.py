"""The crawler's use cases: accept a request, plan a dataset, crawl a batch, mark a unit as failed, redrive it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.crawler.adapters.run_store import RunStore
from services.crawler.domain.plans import CrawlPlan, PlanFailure, failed_plan, plan_anew
from services.crawler.domain.request_validation import MAX_REASON_CHARS, replayed_run_id, validate_request
from services.crawler.service.batch_crawl import BatchCrawl
from services.crawler.service.datasets import CrawlDatasets
from services.crawler.service.events import batch_request_event, plan_events, planned_event
from services.crawler.service.family import Family, FamilyError, with_parents
from services.crawler.service.manifests import count_result, dead_batch, dead_by_plan
from services.crawler.service.planner import Planner
from services.crawler.service.replays import Replays
from shared.bus.messages import FailureOutcome, Outgoing
from shared.datasets.model import Dataset
from shared.errors import PermanentError
from shared.events import ids, topics
from shared.events.models import (
    BatchManifest,
    CrawlBatchRequested,
    CrawlRequest,
    CursorWork,
    PageWork,
    PlanWork,
    ReplayWork,
)
from shared.observability.logging import get_logger
from shared.reasons import Reason
from shared.stages.failures import BatchDeadError, BatchFailedError, error_text
from shared.stages.messages import result_event
from shared.stages.results import Batches
from shared.storage.errors import ObjectMissingError

log = get_logger()


class CrawlerService:
    """Every result is derived or stored once, so each method may run again for the same event and publishes the same."""

    def __init__(
        self,
        datasets: CrawlDatasets,
        runs: RunStore,
        batches: Batches,
        planner: Planner,
        batch_crawl: BatchCrawl,
        replays: Replays,
        family: Family,
    ) -> None:
        self._family = family
        self._datasets = datasets
        self._runs = runs
        self._batches = batches
        self._planner = planner
        self._batch_crawl = batch_crawl
        self._replays = replays

    async def accept(
        self, document: Mapping[str, Any], derived_id: str, requested_at: datetime
    ) -> list[Outgoing]:
        """Stores the request and its datasets' files, and requests a plan for each dataset.

        A rejected run ends at once, with its reason. The first request of a run counts: a later one publishes again what
        the first one started.
        """
        old = replayed_run_id(document)
        catalog = await self._datasets.today()
        validated = validate_request(
            document,
            derived_id=derived_id,
            requested_at=requested_at,
            known=tuple(catalog),
            file_error=catalog.why_refused,
            replayed=None if old is None else await self._runs.find_request(old),
        )
        request = await self._runs.put_request_if_absent(_with_parents(validated, catalog))
        if request.refused is not None:
            log.warning("run_refused", run_id=request.run_id, reason=request.refused)
            return [planned_event(request, None, 0, None)]
        await self._datasets.put_if_absent(request, request.datasets)
        log.info("run_accepted", run_id=request.run_id, datasets=request.datasets)
        return [
            batch_request_event(request, dataset, ids.plan_unit_id(request.run_id, dataset), 0, PlanWork())
            for dataset in await self._family.ready(request)
        ]

    async def plan(self, unit: CrawlBatchRequested) -> list[Outgoing]:
        """Makes the dataset's plan unless there is one, and requests its batches.

        Raises `PermanentError` (`cancelled`) if the run was cancelled before that.
        """
        request = await self._batches.request(unit.run_id)
        plan = await self._runs.find_plan(unit.run_id, unit.dataset)
        if plan is None:
            await self._batches.refuse_cancelled(unit.run_id)
            # A run that an older version accepted has no stored files.
            await self._datasets.put_if_absent(request, [unit.dataset])
            plan = await self._runs.put_plan_if_absent(await self._make_plan(request, unit))
            log.info("dataset_planned", kind=plan.kind, batches=plan.batches, rows=plan.rows)
        return [*plan_events(request, plan), *await self._children_of_nothing(request, plan)]

    async def crawl(self, unit: CrawlBatchRequested) -> list[Outgoing]:
        """Crawls a batch unless that was done, and publishes its result; publishes its record again where its time is over.

        Raises `BatchFailedError` for a batch that is dead by its data (every request failed, or its plan failed),
        `PermanentError` for a batch of a cancelled run, or that differs from the plan.
        """
        winner = await self._batches.committed(unit.run_id, unit.dataset, unit.batch_id)
        if winner is None and (winner := await self._crawl(unit)) is None:
            return [Outgoing(topics.CRAWL_BATCH_REQUESTED, unit.batch_id, unit)]
        return [result_event(winner), *await self._after(unit, winner), *await self._children(unit, winner)]

    async def mark_failed(self, unit: CrawlBatchRequested, error: PermanentError) -> FailureOutcome:
        """Writes a `dead` manifest for the unit, so that its run still ends. A result that exists is published again."""
        if isinstance(unit.work, PlanWork):
            return await self._mark_plan_failed(unit, error)
        dead = error.result if isinstance(error, BatchFailedError) else dead_batch(unit, error)
        winner = await self._batches.commit(dead)
        if winner is dead:
            count_result(winner)
        try:
            after = [*await self._after(unit, winner), *await self._children(unit, winner)]
        except ObjectMissingError:  # the run is swept: its end is already published
            after = []
        return FailureOutcome(dead=winner.status == "dead", events=(result_event(winner), *after))

    async def redrive(self, unit: CrawlBatchRequested) -> None:
        """Clears the failure of a unit whose dead-letter record is redriven; a done result stays. Idempotent.

        The number of batches was published with the failure, so it is final: a failed plan is made anew, and fails again
        if it needs more than its one batch; a crawl ends where it ended.

        Raises `PermanentError` (`cancelled`) for a unit of a cancelled run.
        """
        sequence = 0 if isinstance(unit.work, PlanWork) else unit.sequence
        batch_id = ids.batch_id(unit.run_id, unit.dataset, sequence)
        plan = await self._runs.find_plan(unit.run_id, unit.dataset)
        if plan is None:
            return
        if plan.failed is not None:
            await self._batches.refuse_cancelled(unit.run_id)
            request = await self._batches.request(unit.run_id)
            await self._runs.replace_plan(plan_anew(await self._make_plan(request, unit)))
        elif isinstance(unit.work, PlanWork):
            return
        elif await self._is_dead(unit):
            await self._batch_crawl.forget(unit)
            if plan.is_last_known(unit.sequence) and plan.announced is None:
                await self._runs.replace_plan(plan.model_copy(update={"announced": sequence + 1}))
        await self._batches.clear_failure(unit.run_id, unit.dataset, batch_id)

    async def _is_dead(self, unit: CrawlBatchRequested) -> bool:
        try:
            await self._batches.committed(unit.run_id, unit.dataset, unit.batch_id)
        except BatchDeadError:
            return True
        return False

    async def _make_plan(self, request: CrawlRequest, unit: CrawlBatchRequested) -> CrawlPlan:
        if request.replay_of is not None:
            return await self._replays.plan(request, unit.dataset)
        return await self._planner.make(request, await self._datasets.of(unit.run_id, unit.dataset))

    async def _mark_plan_failed(self, unit: CrawlBatchRequested, error: PermanentError) -> FailureOutcome:
        try:
            request = await self._batches.request(unit.run_id)
        except ObjectMissingError:
            return FailureOutcome(dead=True)
        why = PlanFailure(url="", reason=error.reason, detail=error_text(error))
        plan = await self._runs.put_plan_if_absent(failed_plan(unit.run_id, unit.dataset, why))
        return FailureOutcome(dead=plan.failed is not None, events=tuple(plan_events(request, plan)))

    async def _crawl(self, unit: CrawlBatchRequested) -> BatchManifest | None:
        """Returns None where the batch's time is over: it continues from its checkpoint."""
        await self._batches.refuse_cancelled(unit.run_id)
        plan = await self._runs.plan(unit.run_id, unit.dataset)
        _check_unit(unit, plan)
        if plan.failed is not None:
            raise BatchFailedError(dead_by_plan(unit, plan.failed))
        if unit.sequence == 0:
            # The record may be older than the plan: a failed plan was made anew.
            unit = unit.model_copy(update={"work": plan.work(0)})
        if isinstance(unit.work, ReplayWork):
            return await self._commit(await self._replays.copy_results(unit, unit.work))
        crawled = await self._batch_crawl.run(unit, plan)
        return None if crawled is None else await self._commit(crawled)

    async def _commit(self, manifest: BatchManifest) -> BatchManifest:
        winner = await self._batches.commit(manifest)
        if winner is manifest:
            count_result(winner)
            counts = winner.counts
            log.info("batch_crawled", rows=counts.read, rejected=counts.rejected)
        return winner

    async def _after(self, unit: CrawlBatchRequested, winner: BatchManifest) -> list[Outgoing]:
        """After the last known batch: the record of the next one, or `crawl.planned` where this was the last."""
        promised = winner.promised
        if not isinstance(unit.work, CursorWork):
            if not isinstance(unit.work, PageWork):
                return []
            plan = await self._runs.plan(unit.run_id, unit.dataset)
            if not plan.is_last_known(unit.sequence):
                return []
            promised = promised if promised is not None else plan.rows
        request = await self._batches.request(unit.run_id)
        if winner.next is None:
            return [planned_event(request, unit.dataset, unit.sequence + 1, promised)]
        sequence = unit.sequence + 1
        batch_id = ids.batch_id(unit.run_id, unit.dataset, sequence)
        return [batch_request_event(request, unit.dataset, batch_id, sequence, winner.next)]

    async def _children_of_nothing(self, request: CrawlRequest, plan: CrawlPlan) -> list[Outgoing]:
        """Of a plan without a batch, whose end no batch will tell."""
        if plan.batches != 0 or len(request.datasets) == 1:
            return []
        return [
            batch_request_event(request, dataset, ids.plan_unit_id(request.run_id, dataset), 0, PlanWork())
            for dataset in await self._family.ready_after(request, plan.dataset)
        ]

    async def _children(self, unit: CrawlBatchRequested, winner: BatchManifest) -> list[Outgoing]:
        """The plan units of datasets that waited for this one's rows."""
        request = await self._batches.request(unit.run_id)
        if len(request.datasets) == 1 or winner.next is not None:
            return []
        return [
            batch_request_event(request, dataset, ids.plan_unit_id(request.run_id, dataset), 0, PlanWork())
            for dataset in await self._family.ready_after(request, unit.dataset)
        ]


def _with_parents(request: CrawlRequest, known: Mapping[str, Dataset]) -> CrawlRequest:
    """With the datasets whose rows the others are asked for with; rejected where they cannot be had."""
    if request.refused is not None or request.replay_of is not None:
        return request
    try:
        names = with_parents(request.datasets, known)
    except FamilyError as error:
        return request.model_copy(
            update={"datasets": (), "parameters": {}, "refused": str(error)[:MAX_REASON_CHARS]}
        )
    if added := names[len(request.datasets) :]:
        log.info("parents_added", run_id=request.run_id, datasets=list(added))
    return request.model_copy(update={"datasets": names})


def _check_unit(unit: CrawlBatchRequested, plan: CrawlPlan) -> None:
    """Raises `PermanentError` for work that differs from the stored plan."""
    if plan.announced == 1 and unit.sequence == 0:
        fits = True
    elif unit.sequence < plan.units:
        fits = unit.work == plan.work(unit.sequence)
    else:
        fits = plan.is_open and isinstance(unit.work, CursorWork)
    if not fits:
        raise PermanentError(
            Reason.SCHEMA, f"batch {unit.sequence} of the plan is not what this record asks for"
        )
