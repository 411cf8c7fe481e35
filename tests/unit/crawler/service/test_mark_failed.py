"""Units that cannot be handled: each gets a `dead` manifest, and its run still ends."""

import json
from typing import Any

import pytest

from shared.bus.messages import Outgoing, Record
from shared.errors import PermanentError
from shared.events import ids, topics
from shared.events.models import BatchManifest, BatchUnreadable, CrawlBatchRequested, PlanWork
from shared.reasons import Reason
from tests.support.crawler import APPENDED_AT, APPENDED_MS, POSTS, crawler_of, essence, only_batch
from tests.support.source import SourceServer


def unit_record(**changes: Any) -> Record:
    unit = {
        "run_id": "r",
        "dataset": "posts",
        "batch_id": ids.batch_id("r", "posts", 0),
        "sequence": 0,
        "requested_at": "2026-11-24T06:00:00Z",
        "work": {"kind": "pages", "first_page": 1, "pages": 3},
        **changes,
    }
    key = changes.pop("key", unit["batch_id"])
    unit.pop("key", None)
    return Record(
        topics.CRAWL_BATCH_REQUESTED, 0, 0, APPENDED_MS, str(key).encode(), json.dumps(unit).encode()
    )


WRONG = [
    unit_record(batch_id="0" * 32),
    unit_record(key="0" * 32),
    unit_record(work={"kind": "nonsense"}),
    unit_record(work={"kind": "pages", "first_page": 0, "pages": 1}),
    unit_record(version=2),
    unit_record(extra=1),
    unit_record(work={"kind": "plan"}),
    unit_record(run_id="../x"),
]


@pytest.mark.parametrize("record", WRONG, ids=range(len(WRONG)))
async def test_the_failure_of_an_invalid_unit_is_published_by_its_key(record: Record) -> None:
    async with crawler_of("http://127.0.0.1:1", allow="") as crawler:
        with pytest.raises(PermanentError) as caught:
            await crawler.handlers.on_batch_requested(record)
        outcome = await crawler.handlers.mark_failed(record, caught.value)
        assert outcome.dead
        [failed] = outcome.events
        assert isinstance(failed.event, BatchUnreadable)
        assert failed.key == record.key_text


@pytest.mark.parametrize(
    "work",
    [
        {"kind": "pages", "first_page": 1, "pages": 2},
        {"kind": "pages", "first_page": 2, "pages": 3},
        {"kind": "ids", "start": 0, "stop": 3},
        {"kind": "cursor", "url": "http://169.254.169.254/", "first_position": 0},
    ],
)
async def test_work_that_is_not_the_plans_is_refused(work: dict[str, Any]) -> None:
    async with (
        SourceServer({"posts": POSTS}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        [plan_unit] = await crawler.ask({"run_id": "r", "datasets": ["posts"]})
        await crawler.handle(plan_unit)
        with pytest.raises(PermanentError, match="not what this record asks for") as caught:
            await crawler.handlers.on_batch_requested(unit_record(work=work))
        assert caught.value.reason is Reason.SCHEMA
        assert len(source.seen) == 1


async def test_a_batch_without_a_plan_is_dead() -> None:
    async with crawler_of("http://127.0.0.1:1", allow="") as crawler:
        with pytest.raises(PermanentError) as caught:
            await crawler.handlers.on_batch_requested(unit_record())
        assert caught.value.reason is Reason.OBJECT_MISSING
        outcome = await crawler.handlers.mark_failed(unit_record(), caught.value)
        [failed] = outcome.events
        assert isinstance(failed.event, BatchManifest)
        assert (failed.event.status, failed.event.counts.read) == ("dead", 0)


async def test_a_plan_unit_that_cannot_be_handled_still_ends_its_run() -> None:
    async with (
        SourceServer({"posts": POSTS}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        [plan_unit] = await crawler.ask({"run_id": "r", "datasets": ["posts"]})
        outcome = await crawler.handlers.mark_failed(
            crawler.record(plan_unit), PermanentError(Reason.HANDLER, "a bug \x00 \udcff")
        )
        assert outcome.dead
        await crawler.drive(list(outcome.events))
        manifest = await only_batch(crawler)
        assert (crawler.planned[0].batches, manifest.status, manifest.reason) == (1, "dead", Reason.HANDLER)
        assert source.seen == []


async def test_a_plan_that_was_made_is_not_marked_failed() -> None:
    async with (
        SourceServer({"posts": POSTS}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        [plan_unit] = await crawler.ask({"run_id": "r", "datasets": ["posts"]})
        planned = await crawler.handle(plan_unit)
        outcome = await crawler.handlers.mark_failed(
            crawler.record(plan_unit), PermanentError(Reason.HANDLER, "a bug")
        )
        assert not outcome.dead
        assert essence(list(outcome.events)) == essence(planned)


async def test_a_plan_unit_of_a_run_that_was_swept_is_a_dead_letter_alone() -> None:
    async with crawler_of("http://127.0.0.1:1", allow="") as crawler:
        unit = CrawlBatchRequested(
            run_id="r",
            dataset="posts",
            batch_id=ids.plan_unit_id("r", "posts"),
            sequence=0,
            requested_at=APPENDED_AT,
            work=PlanWork(),
        )
        record = crawler.record(Outgoing(topics.CRAWL_BATCH_REQUESTED, unit.batch_id, unit))
        with pytest.raises(PermanentError) as caught:
            await crawler.handlers.on_batch_requested(record)
        outcome = await crawler.handlers.mark_failed(record, caught.value)
        assert (outcome.dead, outcome.events) == (True, ())
