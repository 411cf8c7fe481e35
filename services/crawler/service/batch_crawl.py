"""Crawls one batch: from its source to artifacts and the manifest that is to be committed."""

from functools import partial
from pathlib import Path
from typing import cast

from services.crawler.adapters.batch_writer import LOG_FILE, RAW_FILE, BatchWriter, open_batch_writer
from services.crawler.adapters.checkpoints import Checkpoint, Checkpoints
from services.crawler.domain.fetching import Fetch
from services.crawler.domain.plans import CrawlPlan
from services.crawler.http.api_client import ApiClient
from services.crawler.service.datasets import CrawlDatasets
from services.crawler.service.manifests import dead_by_source, first_position, manifest_fields
from services.crawler.sources.api.context import Requests
from services.crawler.sources.api.crawl import ApiBatch, UnitChains, crawl_units
from services.crawler.sources.base import BatchContext, IdStore
from services.crawler.sources.batch_fetcher import BatchFetcher, OutOfTimeError, SourceT
from services.crawler.sources.registry import kind_of
from shared.datasets.model import ApiSource, Dataset
from shared.datasets.sources.api import RequestSource
from shared.events.models import Artifact, BatchManifest, CrawlBatchRequested, CursorWork
from shared.stages.failures import BatchFailedError
from shared.stages.results import Batches
from shared.stages.scratch import scratch_folder

RAW, REQUESTS = "jsonl.zst", "requests.jsonl.zst"


class BatchCrawl:
    def __init__(
        self,
        datasets: CrawlDatasets,
        batches: Batches,
        ids: IdStore,
        fetch: Fetch,
        checkpoints: Checkpoints,
        *,
        batch_rows: int,
        api: ApiClient | None = None,
    ) -> None:
        """`api`: for sources whose files write the request."""
        self._api = api
        self._datasets = datasets
        self._batches = batches
        self._ids = ids
        self._fetch = fetch
        self._checkpoints = checkpoints
        self._batch_rows = batch_rows

    async def forget(self, unit: CrawlBatchRequested) -> None:
        """Of a dead batch that is redriven: nothing of its earlier tries counts. Idempotent."""
        await self._checkpoints.remove(unit)

    async def run(self, unit: CrawlBatchRequested, plan: CrawlPlan) -> BatchManifest | None:
        """The manifest, its artifacts durable; None: the batch's time is over, and its checkpoint is stored.

        Raises `BatchFailedError` where every request failed, `PermanentError` where the run is cancelled or its dataset
        is unknown.
        """
        dataset = await self._datasets.of(unit.run_id, unit.dataset)
        with scratch_folder() as folder:
            checkpoint = await self._checkpoints.find(unit, folder / RAW_FILE, folder / LOG_FILE)
            with open_batch_writer(folder) as writer:
                if checkpoint is not None:
                    writer.resume(checkpoint)
                fetcher = self._fetcher(unit, dataset, dataset.source, folder, writer, checkpoint)
                following, is_over = None, True
                try:
                    following = await self._crawl(fetcher, dataset, unit, plan)
                except OutOfTimeError:
                    is_over = False
                await writer.raw.finish()
                await writer.log.finish()
                requests = await self._put(unit, writer.log.path, REQUESTS, writer.requests)
                if is_over and writer.all_failed:
                    raise BatchFailedError(dead_by_source(unit, plan, writer, requests))
                raw = await self._put(unit, writer.raw.path, RAW, writer.rows)
                if not is_over:
                    await self._checkpoints.put(unit, fetcher.checkpoint(unit.batch_id, raw, requests))
                    return None
        return BatchManifest(
            **manifest_fields(unit),
            first_position=first_position(unit, plan),
            artifacts=(raw, requests),
            counts=writer.counts,
            promised=writer.promised,
            detail=writer.remarks,
            missing=tuple(writer.missing),
            next=following,
            mark=writer.mark,
        )

    def _fetcher(
        self,
        unit: CrawlBatchRequested,
        dataset: Dataset,
        source: SourceT,
        folder: Path,
        writer: BatchWriter,
        checkpoint: Checkpoint | None,
    ) -> BatchFetcher[SourceT]:
        refuse_cancelled = partial(self._batches.refuse_cancelled, unit.run_id)
        paths = {column.name: tuple(column.path) for column in dataset.columns}
        key_paths = [paths[name] for name in dataset.key]
        return BatchFetcher(self._fetch, source, folder, writer, refuse_cancelled, key_paths, checkpoint)

    async def _crawl(
        self,
        fetcher: BatchFetcher[ApiSource | RequestSource],
        dataset: Dataset,
        unit: CrawlBatchRequested,
        plan: CrawlPlan,
    ) -> CursorWork | None:
        """Raises `OutOfTimeError` where planned requests are left."""
        if isinstance(fetcher.source, RequestSource):
            following = await self._crawl_api(
                cast("BatchFetcher[RequestSource]", fetcher), dataset, unit, plan
            )
        else:
            following = await self._crawl_pages(cast("BatchFetcher[ApiSource]", fetcher), unit, plan)
        if following is not None and unit.sequence + 1 == plan.announced:
            fetcher.writer.end_at(following)
            return None
        return following

    async def _crawl_api(
        self,
        fetcher: BatchFetcher[RequestSource],
        dataset: Dataset,
        unit: CrawlBatchRequested,
        plan: CrawlPlan,
    ) -> CursorWork | None:
        assert self._api is not None  # noqa: S101 - composed with it
        if plan.values is None or not plan.requests:
            return None
        batch = ApiBatch(
            requests=Requests.of(dataset, plan.values, self._api),
            plan=plan,
            sequence=unit.sequence,
            fetcher=fetcher,
            ids=self._ids,
            batch_rows=self._batch_rows,
        )
        if isinstance(unit.work, CursorWork):
            return await UnitChains(batch).crawl(unit.work)
        await crawl_units(batch)
        return None

    async def _crawl_pages(
        self, fetcher: BatchFetcher[ApiSource], unit: CrawlBatchRequested, plan: CrawlPlan
    ) -> CursorWork | None:
        pagination = fetcher.source.pagination
        context = BatchContext(
            pagination=pagination,
            plan=plan,
            sequence=unit.sequence,
            work=unit.work,
            batch_rows=self._batch_rows,
            fetcher=fetcher,
            ids=self._ids,
        )
        return await kind_of(pagination).crawl(context)

    async def _put(self, unit: CrawlBatchRequested, file: Path, extension: str, rows: int) -> Artifact:
        return await self._batches.artifacts.put(
            unit.run_id, unit.dataset, file, extension=extension, rows=rows
        )
