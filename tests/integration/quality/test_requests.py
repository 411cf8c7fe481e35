"""A run is known from its request on, and from its first unit of crawl work it is taken up."""

import json
from typing import Any

import pytest

from shared.bus.messages import Outgoing, Record
from shared.errors import PermanentError
from shared.events import ids, topics
from shared.events.decode import encode
from shared.events.models import CrawlBatchRequested, CrawlPlanned, PageWork, PlanWork
from tests.integration.quality.conftest import Quality
from tests.integration.quality.story import PRODUCED_AT, REQUESTED_AT, Batch, Story

pytestmark = pytest.mark.integration

ASKED_MS = 1_795_413_600_000
"""2026-11-23 06:00."""


def request(value: object, offset: int = 0) -> Record:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Record(topics.CRAWL_REQUESTED, 0, offset, ASKED_MS, None, body)


def unit(run_id: str, *, is_plan: bool = False) -> Record:
    batch_id = ids.plan_unit_id(run_id, "posts") if is_plan else ids.batch_id(run_id, "posts", 0)
    event = CrawlBatchRequested(
        run_id=run_id,
        dataset="posts",
        batch_id=batch_id,
        sequence=0,
        requested_at=REQUESTED_AT,
        work=PlanWork() if is_plan else PageWork(first_page=1, pages=1),
    )
    return Record(topics.CRAWL_BATCH_REQUESTED, 0, 0, ASKED_MS, batch_id.encode(), encode(event))


def story(run_id: str) -> Story:
    return Story(run_id, {"posts": (Batch(clean=True), Batch(clean=True))})


async def ask(quality: Quality, *records: Record) -> None:
    for record in records:
        assert not await quality.handlers.on_crawl_requested(record)


async def runs(quality: Quality) -> list[dict[str, Any]]:
    rows = await quality.pool.fetch(
        "SELECT run_id, status, requested_by, requested_at, started_at IS NOT NULL AS taken_up, datasets "
        "FROM onpoint_runs.v_runs ORDER BY run_id"
    )
    return [dict(row) for row in rows]


async def test_a_run_that_was_asked_for_is_running_and_not_taken_up(quality: Quality) -> None:
    await ask(quality, request({"run_id": "r", "datasets": ["posts", "users"], "requested_by": "me"}))
    assert await runs(quality) == [
        {
            "run_id": "r",
            "status": "running",
            "requested_by": "me",
            "requested_at": REQUESTED_AT,
            "taken_up": False,
            "datasets": ["posts", "users"],
        }
    ]


@pytest.mark.parametrize("is_plan", [True, False])
async def test_its_first_unit_of_work_takes_it_up(quality: Quality, *, is_plan: bool) -> None:
    await ask(quality, request({"run_id": "r", "datasets": ["posts"]}))
    for record in (unit("r", is_plan=is_plan), unit("r")):
        assert not await quality.handlers.on_unit_requested(record)
    [run] = await runs(quality)
    assert (run["taken_up"], run["datasets"]) == (True, ["posts"])


async def test_a_unit_that_comes_before_the_request_is_told_by_a_later_one(quality: Quality) -> None:
    await quality.handlers.on_unit_requested(unit("r", is_plan=True))
    assert await runs(quality) == []
    await ask(quality, request({"run_id": "r", "datasets": ["posts"]}))
    await quality.handlers.on_unit_requested(unit("r"))
    assert [run["taken_up"] for run in await runs(quality)] == [True]


async def test_a_unit_of_an_unrequested_run_makes_no_run(quality: Quality) -> None:
    await quality.handlers.on_unit_requested(unit("unrequested"))
    assert await runs(quality) == []


async def test_the_first_of_two_requests_with_one_id_is_shown_until_the_plan_tells(quality: Quality) -> None:
    await ask(
        quality,
        request({"run_id": "r", "datasets": ["users"], "requested_by": "me"}),
        request({"run_id": "r", "datasets": ["comments"], "requested_by": "you"}, offset=1),
    )
    assert [(run["datasets"], run["requested_by"]) for run in await runs(quality)] == [(["users"], "me")]
    await quality.handle(*story("r").plans())
    assert [(run["datasets"], run["requested_by"]) for run in await runs(quality)] == [(["posts"], "a test")]


@pytest.mark.parametrize("run_id", [None, "../up", 5], ids=str)
async def test_a_request_without_an_id_that_could_be_used_has_the_one_that_the_crawler_gives_it(
    quality: Quality, run_id: object
) -> None:
    record = request({"run_id": run_id, "datasets": ["posts"]}, offset=7)
    await ask(quality, record)
    derived = ids.run_id_of_record(record.topic, 0, 7, ASKED_MS, record.appended_at)
    assert [run["run_id"] for run in await runs(quality)] == [derived]


@pytest.mark.parametrize(
    "value",
    [
        {"run_id": "r"},
        {"run_id": "r", "datasets": "posts"},
        {"run_id": "r", "datasets": [5, "../up", "\u0000"], "requested_by": ["x"]},
        {"run_id": "r", "datasets": [], "requested_by": "x" * 100_000, "version": 2},
        {"run_id": "r", "replay_of": "old", "from_stage": "loader"},
    ],
)
async def test_what_of_a_request_cannot_be_read_is_left_out(quality: Quality, value: object) -> None:
    await ask(quality, request(value))
    assert [(run["run_id"], run["datasets"], run["requested_by"]) for run in await runs(quality)] == [
        ("r", [], None)
    ]


async def test_a_requester_s_odd_characters_are_stored_as_far_as_they_can_be(quality: Quality) -> None:
    await ask(quality, request({"run_id": "r", "requested_by": "a\u0000b"}))
    assert [run["requested_by"] for run in await runs(quality)] == ["a\N{REPLACEMENT CHARACTER}b"]


async def test_a_request_that_comes_again_changes_nothing_of_a_run_that_has_ended(quality: Quality) -> None:
    record = request({"run_id": "r", "datasets": ["users"]})
    await ask(quality, record)
    await quality.handle(*story("r").events())
    await quality.complete("r")
    await ask(quality, record, request({"run_id": "r", "datasets": ["comments"]}, offset=1))
    [run] = await runs(quality)
    assert (run["status"], run["datasets"]) == ("succeeded", ["posts"])


async def test_a_refused_request_is_a_failed_run_as_ever(quality: Quality) -> None:
    await ask(quality, request({"run_id": "r", "datasets": ["users"]}))
    refused = story("r").request.model_copy(update={"datasets": (), "refused": "users is not known"})
    planned = CrawlPlanned(
        run_id="r",
        dataset=None,
        batches=0,
        requested_at=REQUESTED_AT,
        request=refused,
        produced_at=PRODUCED_AT,
    )
    await quality.handle(Outgoing(topics.CRAWL_PLANNED, "r", planned))
    assert (await quality.complete("r")).status == "failed"
    [run] = await runs(quality)
    assert (run["status"], run["datasets"]) == ("failed", [])


async def test_no_milestone_comes_before_the_plan(quality: Quality) -> None:
    await ask(quality, request({"run_id": "r", "datasets": ["posts"]}))
    await quality.handlers.on_unit_requested(unit("r"))
    await quality.handle(*story("r").results("posts"))
    assert quality.published == []
    await quality.handle(*story("r").plans())
    assert [event.topic for event in quality.published] == [topics.RUN_SEALED, topics.RUN_DRAINED]


async def test_a_request_that_no_service_takes_up_is_forgotten_with_its_dead_letter(quality: Quality) -> None:
    await ask(quality, request({"run_id": "lost", "datasets": ["posts"]}))
    await quality.pool.execute("UPDATE onpoint_runs.requests SET requested_at = now() - interval '31 days'")
    await ask(quality, request({"run_id": "next", "datasets": ["posts"]}))
    assert [run["run_id"] for run in await runs(quality)] == ["next"]


async def test_a_sweep_knows_no_run_that_is_only_asked_for(quality: Quality) -> None:
    await ask(quality, request({"run_id": "r", "datasets": ["posts"]}))
    assert await quality.pool.fetchval("SELECT count(*) FROM onpoint_runs.v_sweep_runs") == 0


async def test_an_undecodable_record_leaves_no_second_dead_letter(quality: Quality) -> None:
    for handle, record in (
        (quality.handlers.on_crawl_requested, request(b"\xff{")),
        (quality.handlers.on_unit_requested, request(b"[]")),
    ):
        with pytest.raises(PermanentError) as error:
            await handle(record)
        outcome = await quality.handlers.leave_to_crawler(record, error.value)
        assert (outcome.dead, outcome.events) == (False, ())
    assert await runs(quality) == []
