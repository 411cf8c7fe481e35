"""Makes the plan of a dataset by its kind of pagination."""

from services.crawler.domain.fetching import Fetch
from services.crawler.domain.plans import CrawlPlan, plan_nothing
from services.crawler.service.api_planner import ApiPlanner
from services.crawler.sources.base import IdStore, PlanContext
from services.crawler.sources.registry import kind_of
from shared.datasets.model import Dataset
from shared.datasets.sources.api import RequestSource
from shared.events.models import CrawlRequest, DatasetParameters
from shared.stages.scratch import scratch_folder


class Planner:
    def __init__(self, fetch: Fetch, ids: IdStore, batch_rows: int, api: ApiPlanner | None = None) -> None:
        """`api`: for sources whose files write the request."""
        self._api = api
        self._fetch = fetch
        self._ids = ids
        self._batch_rows = batch_rows

    async def make(self, request: CrawlRequest, dataset: Dataset) -> CrawlPlan:
        """Two requests to the source at most. A source that does not answer gives a failed plan, not an error."""
        parameters = request.parameters.get(dataset.name)
        limit = parameters.limit if parameters else None
        if limit == 0:
            return plan_nothing(request.run_id, dataset.name, limit=0)
        if isinstance(dataset.source, RequestSource):
            assert self._api is not None  # noqa: S101 - composed with it
            return await self._api.make(request, dataset, parameters or DatasetParameters())
        pagination = dataset.source.pagination
        with scratch_folder() as folder:
            context = PlanContext(
                run_id=request.run_id,
                dataset=dataset,
                pagination=pagination,
                limit=limit,
                batch_rows=self._batch_rows,
                fetch=self._fetch,
                ids=self._ids,
                folder=folder,
            )
            return await kind_of(pagination).plan(context)
