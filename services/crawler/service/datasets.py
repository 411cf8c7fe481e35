"""The datasets that can be crawled now, and those that runs were accepted with."""

import asyncio
from collections.abc import Callable, Iterable

from shared import crashpoints
from shared.datasets.catalog import Catalog
from shared.datasets.frozen import RunDatasets
from shared.datasets.model import ApiSource, Dataset
from shared.datasets.sources.api import RequestSource
from shared.errors import PermanentError
from shared.events.models import CrawlRequest
from shared.reasons import Reason

WRITES_AT_ONCE = 8


class CrawlDatasets:
    """Methods that read or write staging raise `StorageUnavailableError` in an outage."""

    def __init__(
        self,
        today: Callable[[], Catalog],
        stored: RunDatasets,
        on_change: Callable[[Iterable[ApiSource | RequestSource]], None] = lambda _: None,
    ) -> None:
        """`on_change` is called with all sources whenever the files have changed."""
        self._today = today
        self._stored = stored
        self._on_change = on_change
        self._last: Catalog | None = None

    async def today(self) -> Catalog:
        """The datasets of the files as they are now. Costs a look at each, in a thread: the folder may be on a slow disk."""
        catalog = await asyncio.to_thread(self._today)
        if catalog is not self._last:
            self._last = catalog
            self._on_change(dataset.source for dataset in catalog.values())
        return catalog

    async def put_if_absent(self, request: CrawlRequest, names: Iterable[str]) -> None:
        """Stores the files of these datasets with the run unless they are there; the first writer wins.

        A replay takes what the replayed run had, and today's file where that was of an older version. A dataset that
        has neither is left out.
        """
        catalog = await self.today()
        turns = asyncio.Semaphore(WRITES_AT_ONCE)

        async def put_one(name: str) -> None:
            async with turns:
                old = None if request.replay_of is None else await self._stored.find(request.replay_of, name)
                dataset = old or catalog.get(name)
                if dataset is not None:
                    await self._stored.put_if_absent(request.run_id, dataset)

        await asyncio.gather(*(put_one(name) for name in names))
        crashpoints.reach("crawler.datasets")

    async def find(self, run_id: str, name: str) -> Dataset | None:
        """As it was stored with the run; None where it was not."""
        return await self._stored.find(run_id, name)

    async def of(self, run_id: str, name: str) -> Dataset:
        """The dataset that counts for the run. Raises `PermanentError` with the reason where it cannot be used."""
        found = await self._stored.find(run_id, name)
        if found is not None:
            return found
        catalog = await self.today()
        if name in catalog:
            return catalog[name]
        raise PermanentError(Reason.SCHEMA, catalog.why_refused(name) or f"dataset {name} is not known here")
