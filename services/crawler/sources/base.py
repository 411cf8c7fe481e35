"""What a kind of pagination is to the crawler: how a dataset is planned, and how a batch of its plan is crawled.

The first works follow from the plan (`CrawlPlan.work`). Each batch makes the requests of its work and returns the work of
the next batch where only crawling shows it; without one, the crawl ends where the plan ends, or with this batch.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from services.crawler.domain import plans
from services.crawler.domain.fetching import Fetch, FetchFailure
from services.crawler.domain.plans import CrawlPlan, PlanFailure, UnbelievableError, failed_plan
from services.crawler.domain.urls import MAX_URL_CHARS, CursorError
from services.crawler.sources.batch_fetcher import BatchFetcher
from shared.datasets.model import ApiSource, Dataset
from shared.datasets.pagination import PaginationOptions
from shared.events.models import CrawlWork, CursorWork
from shared.reasons import Reason

Options = TypeVar("Options", bound=PaginationOptions)


class IdStore(Protocol):
    """Keeps the ids of plans. Every method raises `StorageUnavailableError` in an outage."""

    async def put_ids(self, run_id: str, dataset: str, lines: bytes) -> str:
        """Stores ids that are too many for the plan, a line per batch; durable when it returns the hash that names them."""
        ...

    async def ids_of(self, plan: CrawlPlan, sequence: int) -> list[Any]:
        """The ids of a batch. Raises `ObjectMissingError` where they are gone."""
        ...


@dataclass(frozen=True, slots=True)
class PlanContext(Generic[Options]):
    """A dataset that is to be planned."""

    run_id: str
    dataset: Dataset
    pagination: Options
    """Of the dataset's source."""
    limit: int | None
    """At least 1. None: all records."""
    batch_rows: int
    fetch: Fetch
    ids: IdStore
    folder: Path
    """Scratch, removed once the plan is made."""

    @property
    def source(self) -> ApiSource:
        source = self.dataset.source
        assert isinstance(source, ApiSource)  # noqa: S101 - the planner looks at the form
        return source

    def failed(self, failure: FetchFailure) -> CrawlPlan:
        """The plan where the source did not answer."""
        why = PlanFailure(url=failure.url[:MAX_URL_CHARS], reason=Reason.FETCH, detail=failure.detail)
        return failed_plan(self.run_id, self.dataset.name, why)

    def too_large(self, url: str, error: UnbelievableError) -> CrawlPlan:
        """The plan where the answer of `url` promises more than a plan may have."""
        why = PlanFailure(url=url[:MAX_URL_CHARS], reason=Reason.TOO_LARGE, detail=str(error))
        return failed_plan(self.run_id, self.dataset.name, why)


@dataclass(frozen=True, slots=True)
class BatchContext(Generic[Options]):
    """A batch that is to be crawled."""

    pagination: Options
    plan: CrawlPlan
    sequence: int
    work: CrawlWork
    batch_rows: int
    fetcher: BatchFetcher[ApiSource]
    ids: IdStore

    @property
    def is_full(self) -> bool:
        """Whether a batch of a chain ends here: it has its rows or its requests, or its time is over."""
        fetcher, writer = self.fetcher, self.fetcher.writer
        most = plans.requests_at_rate(fetcher.source.requests_per_second, plans.BATCH_REQUESTS)
        return (
            writer.rows >= self.batch_rows
            or writer.requests >= most
            or (fetcher.is_out_of_time and writer.requests > 0)
        )

    def refuse_endless(self, url: str) -> None:
        """Before a chain's batch names `url` as the cursor of the next. Raises `CursorError` after too many batches."""
        if self.sequence + 1 >= plans.MAX_CHAIN_BATCHES:
            raise CursorError(url, f"the chain of pages has no end within {plans.MAX_CHAIN_BATCHES} batches")


@dataclass(frozen=True, slots=True)
class PaginationKind(Generic[Options]):
    """A kind of pagination. Its module has one, named `KIND`."""

    options: type[Options]
    """Its fields in a dataset file."""
    plan: Callable[[PlanContext[Options]], Awaitable[CrawlPlan]]
    """Plans a dataset, by a few requests to the source. A plan is stored once, so every number in it follows from what the
    source answered then. A source that does not answer gives a failed plan, not an error."""
    crawl: Callable[[BatchContext[Options]], Awaitable[CursorWork | None]]
    """Makes the requests of the batch's work. Returns the work of the next batch; None: it is planned, or this is the end.

    Raises `OutOfTimeError` where the batch's time ends before its planned requests: its record is published again."""
