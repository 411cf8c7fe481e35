"""A dead letter is replayed: the unit's failure is cleared, and no batch appears that was not planned."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.bus.messages import Outgoing
from shared.errors import PermanentError
from shared.events import ids, topics
from shared.events.models import BatchManifest, PlanWork
from shared.reasons import Reason
from shared.storage import keys
from tests.support import source as faults
from tests.support.crawler import PAGES, Crawler, crawler_of, dataset_of
from tests.support.source import SourceServer

POSTS = [{"userId": 1, "id": n, "title": f"title {n}", "body": None} for n in range(1, 121)]
STORIES = [{"id": 1000 + n, "type": "story", "title": f"story {n}"} for n in range(20)]


@pytest.fixture
async def source() -> AsyncIterator[SourceServer]:
    async with SourceServer({"posts": POSTS, "stories": STORIES}) as server:
        yield server


@pytest.fixture
async def crawler(source: SourceServer) -> AsyncIterator[Crawler]:
    async with crawler_of(source.url, allow=source.allow) as made:
        yield made


async def replay(crawler: Crawler, unit: Outgoing) -> list[Outgoing]:
    """As the bus does it with a dead letter that comes back."""
    record = crawler.record(unit)
    try:
        await crawler.handlers.redrive(record)
    except PermanentError as error:
        return list((await crawler.handlers.mark_failed(record, error)).events)
    return await crawler.handle(unit)


def units(crawler: Crawler) -> list[Outgoing]:
    """Units of batches, in the order of their publication."""
    return [
        event
        for event in crawler.events
        if event.topic == topics.CRAWL_BATCH_REQUESTED
        and not isinstance(getattr(event.event, "work", None), PlanWork)
    ]


def result(events: list[Outgoing]) -> BatchManifest:
    [manifest] = [event.event for event in events if isinstance(event.event, BatchManifest)]
    return manifest


async def test_a_batch_whose_source_was_down_is_crawled_when_it_is_up_again(
    crawler: Crawler, source: SourceServer
) -> None:
    source.fail("/posts", faults.status(404), after=1)
    await crawler.run({"run_id": "r", "datasets": ["posts"]})
    source.heal()
    [unit] = units(crawler)
    redriven = result(await replay(crawler, unit))
    assert (redriven.status, redriven.counts.accepted) == ("done", 120)
    asked = len(source.seen)
    assert result(await replay(crawler, unit)) == redriven, "a second replay finds it done"
    assert len(source.seen) == asked


async def test_a_batch_that_fails_again_is_dead_again(crawler: Crawler, source: SourceServer) -> None:
    source.fail("/posts", faults.status(404), after=1)
    await crawler.run({"run_id": "r", "datasets": ["posts"]})
    source.heal()
    source.fail("/posts", faults.status(410))
    again = result(await replay(crawler, units(crawler)[0]))
    assert (again.status, again.reason) == ("dead", Reason.FETCH)
    assert "410" in (again.detail or "")


@pytest.mark.parametrize(
    ("dataset", "path", "rows"), [("posts", "/posts", 120), ("stories", "/v0/topstories.json", 20)]
)
async def test_the_batch_of_a_failed_plan_is_planned_and_crawled_anew(
    crawler: Crawler, source: SourceServer, dataset: str, path: str, rows: int
) -> None:
    source.fail(path, faults.status(500))
    await crawler.run({"run_id": "r", "datasets": [dataset]})
    source.heal()
    [unit] = units(crawler)
    redriven = await replay(crawler, unit)
    assert redriven[0].topic == topics.BATCH_CRAWLED
    assert {event.topic for event in redriven[1:]} <= {topics.CRAWL_PLANNED}, (
        "the number of batches is published again"
    )
    assert (result(redriven).counts.accepted, result(redriven).missing) == (rows, ())
    assert result(await replay(crawler, unit)) == result(redriven)


async def test_a_plan_that_fails_again_leaves_its_batch_dead_with_the_new_reason(
    crawler: Crawler, source: SourceServer
) -> None:
    source.fail("/posts", faults.status(500))
    await crawler.run({"run_id": "r", "datasets": ["posts"]})
    source.heal()
    source.fail("/posts", faults.status(403))
    again = result(await replay(crawler, units(crawler)[0]))
    assert (again.status, again.detail) == ("dead", "there is no plan: the source answers HTTP 403 Forbidden")


async def test_a_source_that_turned_out_empty_gives_a_batch_without_rows(
    crawler: Crawler, source: SourceServer
) -> None:
    for dataset, path in (("posts", "/posts"), ("stories", "/v0/topstories.json")):
        source.heal()
        source.fail(path, faults.status(500))
        crawler.events.clear()
        await crawler.run({"run_id": "r", "datasets": [dataset]})
        source.heal()
        source.collections = {"posts": [], "stories": []}
        redriven = result(await replay(crawler, units(crawler)[0]))
        assert (redriven.status, redriven.counts.read, await crawler.rows(redriven)) == ("done", 0, [])


async def test_a_failed_plan_that_would_need_more_batches_than_were_planned_stays_dead_with_a_reason(
    source: SourceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.crawler.domain.plans.BATCH_REQUESTS", 1)
    source.collections = {"things": [{"id": n} for n in range(35)]}
    datasets = {"things": dataset_of(source.url, PAGES)}
    async with crawler_of(source.url, allow=source.allow, datasets=datasets) as crawler:
        source.fail("/things", faults.status(500))
        await crawler.run({"run_id": "r", "datasets": ["things"]})
        source.heal()
        again = result(await replay(crawler, units(crawler)[0]))
        assert (again.status, again.reason) == ("dead", Reason.TOO_LARGE)
        assert "4 batches would be needed where one was published: request a new run" in (again.detail or "")


@pytest.mark.parametrize(("rows", "is_cut"), [(15, False), (45, True)])
async def test_a_failed_plan_that_turns_out_a_chain_has_its_one_batch_and_lists_what_is_beyond(
    source: SourceServer, monkeypatch: pytest.MonkeyPatch, rows: int, *, is_cut: bool
) -> None:
    monkeypatch.setattr("services.crawler.domain.plans.BATCH_REQUESTS", 2)
    source.collections, source.total_header = {"things": [{"id": n} for n in range(rows)]}, None
    datasets = {"things": dataset_of(source.url, PAGES)}
    async with crawler_of(source.url, allow=source.allow, datasets=datasets) as crawler:
        source.fail("/things", faults.status(500))
        await crawler.run({"run_id": "r", "datasets": ["things"]})
        source.heal()
        events = await replay(crawler, units(crawler)[0])
        assert [event.topic for event in events] == [topics.BATCH_CRAWLED, topics.CRAWL_PLANNED], (
            "sealed again"
        )
        assert (result(events).counts.accepted, result(events).next) == (min(rows, 20), None)
        assert bool(result(events).missing) == is_cut


async def test_a_chain_that_died_goes_on_to_the_end_of_the_batch_and_lists_what_is_beyond(
    source: SourceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.crawler.domain.plans.BATCH_REQUESTS", 2)
    source.collections, source.total_header = {"things": [{"id": n} for n in range(95)]}, None
    datasets = {"things": dataset_of(source.url, PAGES)}
    async with crawler_of(source.url, allow=source.allow, datasets=datasets) as crawler:
        source.fail("/things?_page=3&_limit=10", faults.status(500))
        await crawler.run({"run_id": "r", "datasets": ["things"]})
        assert [(m.sequence, m.status) for m in crawler.batches] == [(0, "done"), (1, "dead")]
        assert [p.batches for p in crawler.planned] == [2]
        source.heal()
        events = await replay(crawler, units(crawler)[1])
        redriven = result(events)
        assert (redriven.counts.accepted, redriven.first_position, redriven.next) == (20, 20, None)
        [beyond] = redriven.missing
        assert "_page=5" in beyond.url
        assert "request a new run" in beyond.reason
        assert [getattr(e.event, "batches", None) for e in events if e.topic == topics.CRAWL_PLANNED] == [2]
        assert not [event for event in events if event.topic == topics.CRAWL_BATCH_REQUESTED]
        assert result(await replay(crawler, units(crawler)[1])) == redriven


async def test_a_plan_unit_that_died_plans_its_one_batch_anew(crawler: Crawler) -> None:
    [plan_unit] = await crawler.ask({"run_id": "r", "datasets": ["posts"]})
    outcome = await crawler.handlers.mark_failed(
        crawler.record(plan_unit), PermanentError(Reason.HANDLER, "a bug")
    )
    await crawler.drive(list(outcome.events))
    planned, unit = await replay(crawler, plan_unit)
    assert getattr(planned.event, "batches", None) == 1
    assert result(await crawler.handle(unit)).counts.accepted == 120
    [dead_unit] = units(crawler)
    assert result(await replay(crawler, dead_unit)).counts.accepted == 120, (
        "its own dead letter changes nothing"
    )
    assert len(await replay(crawler, plan_unit)) == 2, "nor does another replay of the plan"


async def test_a_replayed_dead_letter_of_a_plan_that_was_made_changes_nothing(crawler: Crawler) -> None:
    [plan_unit] = await crawler.ask({"run_id": "r", "datasets": ["posts"]})
    before = await crawler.handle(plan_unit)
    key = keys.plan_key("r", "posts")
    stored = await crawler.staging.get(key)
    after = await replay(crawler, plan_unit)
    assert [(e.topic, e.key) for e in after] == [(e.topic, e.key) for e in before]
    assert await crawler.staging.get(key) == stored


async def test_a_unit_of_a_cancelled_run_stays_dead(crawler: Crawler, source: SourceServer) -> None:
    source.fail("/posts", faults.status(500))
    await crawler.run({"run_id": "r", "datasets": ["posts"]})
    source.heal()
    await crawler.staging.put(keys.cancel_key("r"), b"")
    asked = len(source.seen)
    again = result(await replay(crawler, units(crawler)[0]))
    assert (again.status, again.reason) == ("dead", Reason.FETCH)
    assert len(source.seen) == asked


async def test_a_batch_of_a_replay_is_copied_when_the_old_one_was_redriven(
    crawler: Crawler, source: SourceServer
) -> None:
    source.fail("/posts", faults.status(404), after=1)
    await crawler.run({"run_id": "old", "datasets": ["posts"]})
    await crawler.run({"run_id": "new", "replay_of": "old", "from_stage": "processor"})
    old_unit, new_unit = units(crawler)
    assert result(await replay(crawler, new_unit)).status == "dead"
    source.heal()
    await replay(crawler, old_unit)
    assert result(await replay(crawler, new_unit)).counts.accepted == 120


async def test_undecodable_records_and_those_of_a_swept_run_fail_again(crawler: Crawler) -> None:
    garbage: Any = crawler.record((await crawler.ask({"run_id": "r", "datasets": ["posts"]}))[0])
    await crawler.handlers.redrive(type(garbage)(garbage.topic, 0, 0, 0, b"k", b"{"))
    await crawler.staging.delete(keys.request_key("r"))
    await crawler.handlers.redrive(garbage)
    assert await crawler.staging.get(keys.plan_key("r", "posts")) is None
    assert ids.plan_unit_id("r", "posts") == garbage.key_text
