"""What becomes of a batch while the cluster is away: it waits, or this process works itself."""

import asyncio
from datetime import UTC, datetime

from services.processor.cluster.cluster import Cluster
from services.processor.work import Processed, Work
from shared.dask.errors import ClusterAwayError
from shared.datasets.model import Dataset
from shared.events.models import BatchManifest
from shared.observability.logging import get_logger

log = get_logger()


class LocalFallback:
    """The work on batches: on the cluster, and in this process while that is away. Both write the same bytes."""

    def __init__(self, cluster: Cluster, local: Work, *, at_once: int) -> None:
        """`at_once`: batches that this process works on at a time."""
        self._cluster = cluster
        self._local = local
        self._room = asyncio.Semaphore(at_once)
        self._away_since: datetime | None = None

    async def work(self, crawled: BatchManifest, dataset: Dataset) -> Processed:
        try:
            processed = await self._cluster.work(crawled, dataset)
        except ClusterAwayError as error:
            self._tell_away(error)
        else:
            self._tell_back()
            return processed
        async with self._room:
            return await self._local(crawled, dataset)

    def _tell_away(self, error: ClusterAwayError) -> None:
        """Once per outage."""
        if self._away_since is None:
            self._away_since = datetime.now(UTC)
            log.warning("dask_away", why=str(error), instead="the processor works itself")

    def _tell_back(self) -> None:
        if self._away_since is not None:
            log.info("dask_back", away_since=self._away_since.isoformat())
            self._away_since = None
