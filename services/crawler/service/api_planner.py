"""Makes the plan of a dataset whose file writes the request."""

from collections.abc import AsyncIterator, Callable

from services.crawler.adapters.marks import Marks
from services.crawler.adapters.parent_rows import ParentRows
from services.crawler.domain.plans import CrawlPlan
from services.crawler.domain.requests.units import Unit
from services.crawler.http.api_client import ApiClient
from services.crawler.sources.api.plan import ApiPlanContext, plan
from services.crawler.sources.base import IdStore
from shared.datasets.model import Dataset
from shared.datasets.sources.each import EachParent
from shared.events.models import CrawlRequest, DatasetParameters
from shared.stages.scratch import scratch_folder


class ApiPlanner:
    def __init__(
        self,
        client: ApiClient,
        ids: IdStore,
        marks: Marks,
        parents: ParentRows,
        variables: Callable[[str], str | None],
    ) -> None:
        """`variables`: of the process, by name."""
        self._client = client
        self._ids = ids
        self._marks = marks
        self._parents = parents
        self._variables = variables

    async def make(self, request: CrawlRequest, dataset: Dataset, parameters: DatasetParameters) -> CrawlPlan:
        """No request to the source is made. Raises `StorageUnavailableError` in an outage."""
        with scratch_folder() as folder:

            def rows(each: EachParent) -> AsyncIterator[Unit]:
                return self._parents.units(request.run_id, each, folder)

            return await plan(
                ApiPlanContext(
                    run_id=request.run_id,
                    dataset=dataset,
                    requested_at=request.requested_at,
                    parameters=parameters,
                    mark=await self._marks.newest(dataset.name, before=request.requested_at),
                    variables=self._variables,
                    parents=rows,
                    client=self._client,
                    ids=self._ids,
                    folder=folder,
                )
            )
