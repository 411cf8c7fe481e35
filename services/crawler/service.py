"""The crawler's use cases: accept a request, plan a dataset, crawl a batch, bury what cannot be handled."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from services.crawler.chain import Chain
from services.crawler.crawling import Crawl, planned_requests
from services.crawler.domain.fetching import Fetch
from services.crawler.domain.plans import Plan, PlanFailure, failed_plan
from services.crawler.domain.requests import judge
from services.crawler.planner import Planner
from services.crawler.recorder import Recorder, recording
from services.crawler.repository import FrozenRuns
from shared.batches.batches import (
    CODE_VERSION,
    Batches,
    BatchFailedError,
    announce,
    scratch_folder,
)
from shared.bus.record import Burial, Outgoing
from shared.datasets.model import Dataset
from shared.errors import PermanentError
from shared.events import ids, topics
from shared.events.models import (
    Artifact,
    BatchManifest,
    Counts,
    CrawlBatchRequested,
    CrawlPlanned,
    CrawlRequest,
    CrawlWork,
    CursorWork,
    IdWork,
    MissingPage,
    PageWork,
    PlanWork,
)
from shared.events.reasons import Reason
from shared.observability.logging import get_logger
from shared.observability.metrics import STAGE_BATCHES, STAGE_ROWS
from shared.storage.errors import ObjectMissingError

STAGE: Final = "crawler"
RAW, REQUESTS = "jsonl.zst", "requests.jsonl.zst"
MAX_DETAIL_CHARS = 1000

log = get_logger()


class CrawlerService:
    """Everything is derived or frozen, so each method may run again for the same event and publishes the same."""

    def __init__(
        self, catalog: Mapping[str, Dataset], runs: FrozenRuns, batches: Batches, fetch: Fetch
    ) -> None:
        self._catalog = catalog
        self._runs = runs
        self._batches = batches
        self._fetch = fetch
        self._planner = Planner(fetch)

    async def accept(
        self, document: Mapping[str, Any], derived_id: str, requested_at: datetime
    ) -> list[Outgoing]:
        """Freezes the request and asks for the plan of each dataset; a refused run ends at once, with its reason.

        The first request of a run counts: any later one only starts again what that one started.
        """
        asked = judge(document, derived_id=derived_id, requested_at=requested_at, known=tuple(self._catalog))
        request = await self._runs.freeze_request(asked)
        if request.refused is not None:
            log.warning("run_refused", run_id=request.run_id, reason=request.refused)
            return [_planned(request, None, 0, None)]
        log.info("run_accepted", run_id=request.run_id, datasets=request.datasets)
        return [
            _unit(request, dataset, ids.plan_unit_id(request.run_id, dataset), 0, PlanWork())
            for dataset in request.datasets
        ]

    async def plan(self, unit: CrawlBatchRequested) -> list[Outgoing]:
        """Makes the dataset's plan unless there is one, and asks for its batches.

        Raises `PermanentError` (`cancelled`) if the run was cancelled before that.
        """
        request = await self._batches.request(unit.run_id)
        plan = await self._runs.find_plan(unit.run_id, unit.dataset)
        if plan is None:
            await self._batches.refuse_cancelled(unit.run_id)
            plan = await self._runs.freeze_plan(await self._planner.make(request, self._dataset(unit)))
            log.info("dataset_planned", kind=plan.kind, batches=plan.batches, rows=plan.rows)
        return _announce_plan(request, plan)

    async def crawl(self, unit: CrawlBatchRequested) -> list[Outgoing]:
        """Crawls a batch unless that was done, and announces its result.

        Raises `BatchFailedError` for a batch that is dead by its data: every request failed, or there is no plan;
        `PermanentError` for one of a cancelled run, or that is not the plan's.
        """
        winner = await self._batches.committed(unit.run_id, unit.dataset, unit.batch_id)
        if winner is None:
            winner = await self._crawl(unit)
        return [announce(winner), *await self._after(unit, winner)]

    async def bury(self, unit: CrawlBatchRequested, error: PermanentError) -> Burial:
        """Commits the death of a unit so that its run still ends. Done before stays done, and is announced again."""
        if isinstance(unit.work, PlanWork):
            return await self._bury_plan(unit, error)
        dead = error.result if isinstance(error, BatchFailedError) else _dead(unit, error)
        winner = await self._batches.commit(dead)
        if winner is dead:
            _count(winner)
        try:
            after = await self._after(unit, winner)
        except ObjectMissingError:  # the run is swept: nobody waits for its end
            after = []
        return Burial(dead=winner.status == "dead", announce=(announce(winner), *after))

    async def _bury_plan(self, unit: CrawlBatchRequested, error: PermanentError) -> Burial:
        try:
            request = await self._batches.request(unit.run_id)
        except ObjectMissingError:
            return Burial(dead=True)
        why = PlanFailure(url="", reason=error.reason, detail=_in_words(error))
        plan = await self._runs.freeze_plan(failed_plan(unit.run_id, unit.dataset, why))
        return Burial(dead=plan.failed is not None, announce=tuple(_announce_plan(request, plan)))

    async def _crawl(self, unit: CrawlBatchRequested) -> BatchManifest:
        await self._batches.refuse_cancelled(unit.run_id)
        plan = await self._runs.plan(unit.run_id, unit.dataset)
        _check_unit(unit, plan)
        if plan.failed is not None:
            raise BatchFailedError(_dead_by_plan(unit, plan.failed))
        dataset = self._dataset(unit)
        with scratch_folder() as folder, recording(folder) as recorder:
            following = await self._ask_source(unit, plan, dataset, folder, recorder)
            await recorder.raw.finish()
            await recorder.log.finish()
            if recorder.all_failed:
                requests = await self._put(unit, recorder.log.path, REQUESTS, recorder.requests)
                raise BatchFailedError(_dead_by_source(unit, plan, recorder, requests))
            raw = await self._put(unit, recorder.raw.path, RAW, recorder.rows)
            requests = await self._put(unit, recorder.log.path, REQUESTS, recorder.requests)
        manifest = BatchManifest(
            **_identity(unit),
            first_position=_first_position(unit, plan),
            artifacts=(raw, requests),
            counts=recorder.counts,
            missing=tuple(recorder.missing),
            next=following,
        )
        winner = await self._batches.commit(manifest)
        if winner is manifest:
            _count(winner)
            log.info(
                "batch_crawled", rows=recorder.rows, rejected=recorder.rejected, requests=recorder.requests
            )
        return winner

    async def _ask_source(
        self, unit: CrawlBatchRequested, plan: Plan, dataset: Dataset, folder: Path, recorder: Recorder
    ) -> CursorWork | None:
        crawl = Crawl(self._fetch, dataset.source, folder, recorder)
        pagination = dataset.source.pagination
        if isinstance(unit.work, CursorWork) and pagination.kind == "page":
            return await Chain(crawl, plan, pagination.page_param).follow(unit.work, unit.sequence)
        await crawl.all(planned_requests(dataset, plan, unit.sequence))
        return None

    async def _after(self, unit: CrawlBatchRequested, winner: BatchManifest) -> list[Outgoing]:
        """What follows a chain's batch: the next one, or the news that this was the last."""
        if not isinstance(unit.work, CursorWork):
            return []
        request = await self._batches.request(unit.run_id)
        if winner.next is None:
            return [_planned(request, unit.dataset, unit.sequence + 1, None)]
        sequence = unit.sequence + 1
        batch_id = ids.batch_id(unit.run_id, unit.dataset, sequence)
        return [_unit(request, unit.dataset, batch_id, sequence, winner.next)]

    async def _put(self, unit: CrawlBatchRequested, file: Path, extension: str, rows: int) -> Artifact:
        return await self._batches.put_artifact(
            unit.run_id, unit.dataset, file, extension=extension, rows=rows
        )

    def _dataset(self, unit: CrawlBatchRequested) -> Dataset:
        try:
            return self._catalog[unit.dataset]
        except KeyError as error:
            raise PermanentError(Reason.SCHEMA, f"dataset {unit.dataset} is not known here") from error


def _check_unit(unit: CrawlBatchRequested, plan: Plan) -> None:
    """Raises `PermanentError` for work that is not the plan's: the frozen plan is what counts."""
    if plan.kind == "chain":
        fits = isinstance(unit.work, CursorWork) and (unit.sequence > 0 or unit.work == plan.work(0))
    else:
        fits = unit.sequence < plan.units and unit.work == plan.work(unit.sequence)
    if not fits:
        raise PermanentError(
            Reason.SCHEMA, f"batch {unit.sequence} of the plan is not what this record asks for"
        )


def _first_position(unit: CrawlBatchRequested, plan: Plan) -> int:
    return (
        unit.work.first_position if isinstance(unit.work, CursorWork) else plan.first_position(unit.sequence)
    )


def _announce_plan(request: CrawlRequest, plan: Plan) -> list[Outgoing]:
    known = [] if plan.batches is None else [_planned(request, plan.dataset, plan.batches, plan.rows)]
    return known + [
        _unit(request, plan.dataset, ids.batch_id(plan.run_id, plan.dataset, n), n, plan.work(n))
        for n in range(plan.units)
    ]


def _unit(request: CrawlRequest, dataset: str, batch_id: str, sequence: int, work: CrawlWork) -> Outgoing:
    event = CrawlBatchRequested(
        run_id=request.run_id,
        dataset=dataset,
        batch_id=batch_id,
        sequence=sequence,
        requested_at=request.requested_at,
        work=work,
    )
    return Outgoing(topics.CRAWL_BATCH_REQUESTED, batch_id, event)


def _planned(request: CrawlRequest, dataset: str | None, batches: int, rows: int | None) -> Outgoing:
    event = CrawlPlanned(
        run_id=request.run_id,
        dataset=dataset,
        batches=batches,
        rows=rows,
        requested_at=request.requested_at,
        request=request,
        produced_at=datetime.now(UTC),
    )
    return Outgoing(topics.CRAWL_PLANNED, request.run_id, event)


def _identity(unit: CrawlBatchRequested) -> dict[str, Any]:
    return {
        "run_id": unit.run_id,
        "dataset": unit.dataset,
        "batch_id": unit.batch_id,
        "sequence": unit.sequence,
        "stage": STAGE,
        "requested_at": unit.requested_at,
        "produced_at": datetime.now(UTC),
        "code_version": CODE_VERSION,
    }


def _dead(unit: CrawlBatchRequested, error: PermanentError) -> BatchManifest:
    """A batch that could not be handled: each of its requests counts as a failed one."""
    requests = _requests_of(unit.work)
    return BatchManifest(
        **_identity(unit),
        status="dead",
        reason=error.reason,
        detail=_in_words(error),
        counts=Counts(read=requests, rejected=requests),
    )


def _in_words(error: PermanentError) -> str:
    """The error's text as JSON and PostgreSQL can hold it: no lone surrogate, no NUL."""
    return str(error)[:MAX_DETAIL_CHARS].encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def _requests_of(work: CrawlWork) -> int:
    if isinstance(work, PageWork):
        return work.pages
    if isinstance(work, IdWork):
        return max(0, work.stop - work.start)
    return 1


def _dead_by_plan(unit: CrawlBatchRequested, why: PlanFailure) -> BatchManifest:
    return BatchManifest(
        **_identity(unit),
        status="dead",
        reason=why.reason,
        detail=f"there is no plan: {why.detail}"[:MAX_DETAIL_CHARS],
        counts=Counts(read=1, rejected=1),
        missing=(MissingPage(url=why.url, reason=why.detail),),
    )


def _dead_by_source(
    unit: CrawlBatchRequested, plan: Plan, recorder: Recorder, requests: Artifact
) -> BatchManifest:
    failure = recorder.last_failure
    return BatchManifest(
        **_identity(unit),
        status="dead",
        reason=Reason.FETCH,
        detail=f"every request failed ({recorder.failed}); the last: {failure.detail if failure else ''}"[
            :MAX_DETAIL_CHARS
        ],
        first_position=_first_position(unit, plan),
        artifacts=(requests,),
        counts=Counts(read=recorder.failed, rejected=recorder.failed),
        missing=tuple(recorder.missing),
    )


def _count(manifest: BatchManifest) -> None:
    """Once per result, by whoever committed it."""
    STAGE_BATCHES.labels(STAGE, manifest.dataset, manifest.status).inc()
    for outcome in ("read", "accepted", "rejected"):
        STAGE_ROWS.labels(STAGE, manifest.dataset, outcome).inc(getattr(manifest.counts, outcome))
