"""The events by which the crawler requests batches and publishes plans."""

from datetime import UTC, datetime

from services.crawler.domain.plans import CrawlPlan
from shared.bus.messages import Outgoing
from shared.events import ids, topics
from shared.events.models import CrawlBatchRequested, CrawlPlanned, CrawlRequest, CrawlWork


def plan_events(request: CrawlRequest, plan: CrawlPlan) -> list[Outgoing]:
    """The records of its batches; and `crawl.planned`, unless only crawling finds the end."""
    known = [] if plan.batches is None else [planned_event(request, plan.dataset, plan.batches, plan.rows)]
    return known + [
        batch_request_event(
            request, plan.dataset, ids.batch_id(plan.run_id, plan.dataset, n), n, plan.work(n)
        )
        for n in range(plan.units)
    ]


def batch_request_event(
    request: CrawlRequest, dataset: str, batch_id: str, sequence: int, work: CrawlWork
) -> Outgoing:
    event = CrawlBatchRequested(
        run_id=request.run_id,
        dataset=dataset,
        batch_id=batch_id,
        sequence=sequence,
        requested_at=request.requested_at,
        work=work,
    )
    return Outgoing(topics.CRAWL_BATCH_REQUESTED, batch_id, event)


def planned_event(request: CrawlRequest, dataset: str | None, batches: int, rows: int | None) -> Outgoing:
    """The number of batches of a dataset. Without a dataset: the run was rejected."""
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
