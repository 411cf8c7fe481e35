"""How far a complete run reached: written once it has ended, so that a run that failed never moves it."""

import asyncio
import json

from services.crawler.adapters.marks import Mark, Marks
from services.crawler.adapters.run_store import RunStore
from services.crawler.adapters.stored_results import StoredResults
from services.crawler.domain.requests.page_reader import is_before
from services.crawler.service.datasets import CrawlDatasets
from shared.datasets.model import Dataset
from shared.datasets.sources.api import RequestSource
from shared.datasets.sources.incremental import Incremental
from shared.datasets.sources.moments import Moment, read_start, write_moment
from shared.events.models import RunCompleted
from shared.observability.logging import get_logger

READS_AT_ONCE = 16

log = get_logger()


class RunMarks:
    """Methods raise `StorageUnavailableError` in an outage."""

    def __init__(self, datasets: CrawlDatasets, runs: RunStore, results: StoredResults, marks: Marks) -> None:
        self._datasets = datasets
        self._runs = runs
        self._results = results
        self._marks = marks

    async def keep(self, completed: RunCompleted) -> None:
        """Writes a mark for each incremental dataset of a run that succeeded, unless it asked for bounds of its own.

        Idempotent. Costs a read per batch of such a dataset.
        """
        if completed.status != "succeeded" or completed.from_stage is not None:
            return
        for name in completed.datasets:
            dataset = await self._datasets.find(completed.run_id, name)
            if (
                dataset is not None
                and isinstance(dataset.source, RequestSource)
                and dataset.source.incremental
            ):
                await self._keep(completed, dataset, dataset.source.incremental)

    async def _keep(self, completed: RunCompleted, dataset: Dataset, options: Incremental) -> None:
        plan = await self._runs.find_plan(completed.run_id, dataset.name)
        if plan is None or plan.values is None or plan.values.is_own:
            return
        newest, token = await self._reached(completed.run_id, dataset.name, options)
        until = (
            None if plan.values.until is None else read_start(plan.values.until, is_number=options.is_number)
        )
        if options.field is None or (newest is not None and is_before(until, newest)):
            newest = until
        before = await self._marks.newest(dataset.name, before=completed.requested_at)
        known = None if before is None else before.value
        if newest is None or (
            known is not None and is_before(newest, read_start(known, is_number=options.is_number))
        ):
            value = known
        else:
            value = write_moment(newest)
        if token is None:
            token = plan.values.token
        if value is None and token is None:
            return
        mark = Mark(
            dataset=dataset.name,
            run_id=completed.run_id,
            requested_at=completed.requested_at,
            value=value,
            token=token,
        )
        if await self._marks.put_if_absent(mark):
            log.info("mark_kept", run_id=completed.run_id, dataset=dataset.name, value=value)

    async def _reached(self, run_id: str, dataset: str, options: Incremental) -> tuple[Moment | None, object]:
        """The largest mark of the run's batches, and the token of the last that has one."""
        turns = asyncio.Semaphore(READS_AT_ONCE)

        async def read(batch_id: str) -> tuple[int, str | None]:
            async with turns:
                found = await self._results.result(run_id, dataset, "crawler", batch_id)
                return (found.sequence, found.mark) if found is not None else (-1, None)

        batch_ids = await self._results.batch_ids(run_id, dataset, "crawler")
        newest: Moment | None = None
        token: object = None
        for _, text in sorted(await asyncio.gather(*map(read, batch_ids)), key=lambda one: one[0]):
            if text is None:
                continue
            mark = json.loads(text)
            value = (
                None if mark.get("value") is None else read_start(mark["value"], is_number=options.is_number)
            )
            if value is not None and (newest is None or is_before(newest, value)):
                newest = value
            token = mark.get("token") if mark.get("token") is not None else token
        return newest, token
