"""Datasets that are asked for with the rows of others: in the same run, after them."""

from collections.abc import Iterable, Mapping

from services.crawler.adapters.run_store import RunStore
from services.crawler.adapters.stored_results import StoredResults
from services.crawler.service.datasets import CrawlDatasets
from shared.datasets.model import Dataset
from shared.datasets.sources.api import RequestSource
from shared.events import ids
from shared.events.models import CrawlRequest

MAX_GENERATIONS = 8


class FamilyError(Exception):
    """Datasets that cannot be crawled in one run. The message tells which."""


def parents_of(dataset: Dataset | None) -> tuple[str, ...]:
    if dataset is None or not isinstance(dataset.source, RequestSource):
        return ()
    return tuple(dict.fromkeys(each.parent for each in dataset.source.parents))


def with_parents(names: Iterable[str], known: Mapping[str, Dataset]) -> tuple[str, ...]:
    """The datasets of a request, and behind them the parents that it does not name.

    Raises `FamilyError` for a parent that is not known, and for one that needs itself.
    """
    found = dict.fromkeys(names)
    for name in tuple(found):
        for ancestor in _ancestors(name, known, ()):
            found.setdefault(ancestor)
    return tuple(found)


def _ancestors(name: str, known: Mapping[str, Dataset], line: tuple[str, ...]) -> Iterable[str]:
    if name in line or len(line) >= MAX_GENERATIONS:
        raise FamilyError(f"datasets: {' needs '.join([*line, name])}: parents may not form a circle")
    for parent in parents_of(known.get(name)):
        if parent not in known:
            raise FamilyError(f"datasets: {name} needs the rows of {parent}, and no dataset has this name")
        yield parent
        yield from _ancestors(parent, known, (*line, name))


class Family:
    """Tells when the children of a dataset can be planned. Methods raise `StorageUnavailableError` in an outage."""

    def __init__(self, datasets: CrawlDatasets, runs: RunStore, results: StoredResults) -> None:
        self._datasets = datasets
        self._runs = runs
        self._results = results

    async def ready(self, request: CrawlRequest) -> list[str]:
        """Datasets of a run that wait for no other."""
        return [
            name for name in request.datasets if request.replay_of or not await self._parents(request, name)
        ]

    async def ready_after(self, request: CrawlRequest, dataset: str) -> list[str]:
        """The children of a dataset, where every batch of all their parents has a result.

        Costs nothing where the run has no children, else a listing per parent.
        """
        if request.replay_of:
            return []
        found = []
        for name in request.datasets:
            parents = await self._parents(request, name)
            if dataset in parents and all([await self._is_crawled(request.run_id, one) for one in parents]):
                found.append(name)
        return found

    async def _parents(self, request: CrawlRequest, name: str) -> tuple[str, ...]:
        if len(request.datasets) == 1:
            return ()
        own = parents_of(await self._datasets.find(request.run_id, name))
        return tuple(parent for parent in own if parent in request.datasets)

    async def _is_crawled(self, run_id: str, dataset: str) -> bool:
        plan = await self._runs.find_plan(run_id, dataset)
        if plan is None:
            return False
        done = await self._results.batch_ids(run_id, dataset, "crawler")
        if plan.batches is not None:
            return all(ids.batch_id(run_id, dataset, number) in done for number in range(plan.batches))
        number = plan.units - 1
        while ids.batch_id(run_id, dataset, number + 1) in done:
            number += 1
        if any(ids.batch_id(run_id, dataset, one) not in done for one in range(number + 1)):
            return False
        last = await self._results.result(run_id, dataset, "crawler", ids.batch_id(run_id, dataset, number))
        return last is not None and last.next is None
