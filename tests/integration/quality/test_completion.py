"""Exactly one completion, and one verdict, whatever is cut off where."""

import asyncio
import json
from collections.abc import Callable
from typing import NoReturn

import pytest

from services.quality.service.checks import Checks
from shared import crashpoints
from shared.bus.messages import Record
from shared.errors import PermanentError
from shared.events import topics
from shared.events.decode import encode
from shared.events.models import MissingPage, RunCompleted, RunDrained
from shared.reasons import Reason
from tests.integration.quality.conftest import Quality, open_quality
from tests.integration.quality.story import REQUESTED_AT, Batch, Story

pytestmark = pytest.mark.integration


class CutOffError(BaseException):
    """Stands for `kill -9`: nothing below may handle it."""


def cut_off_at(point: str) -> Callable[[str], None]:
    def reach(reached: str) -> None:
        if reached == point:
            raise CutOffError(point)

    return reach


def small(run_id: str) -> Story:
    return Story(run_id, {"posts": (Batch(clean=True), Batch(clean=True)), "users": (Batch(clean=True),)})


async def drained(quality: Quality, run_id: str) -> Record:
    await quality.handle(*small(run_id).events())
    return quality.drained_record(run_id)


def event_of(outgoing: object) -> RunCompleted:
    assert isinstance(outgoing, list | tuple)
    [completed] = outgoing
    assert isinstance(completed.event, RunCompleted)
    return completed.event


async def check_agreement(quality: Quality, completed: RunCompleted) -> None:
    """Listing, ledger and event tell the same."""
    listing = await quality.listing(completed.run_id)
    assert listing is not None
    told = completed.model_dump(mode="json")
    assert [listing[name] for name in ("status", "requested_at", "finished_at")] == [
        told[name] for name in ("status", "requested_at", "finished_at")
    ]
    row = await quality.pool.fetchrow("SELECT * FROM onpoint_runs.v_runs WHERE run_id = $1", completed.run_id)
    assert row is not None
    assert (row["status"], row["reason"], row["finished_at"]) == (
        completed.status,
        completed.reason,
        completed.finished_at,
    )
    assert json.loads(row["completed"]) == told


async def test_the_listing_names_every_object_and_export_once(quality: Quality) -> None:
    await drained(quality, "listed")
    completed = await quality.complete("listed")
    assert completed.status == "succeeded"
    await check_agreement(quality, completed)
    listing = await quality.listing("listed")
    assert listing is not None
    assert list(listing) == ["run_id", "status", "requested_at", "finished_at", "superseded_by", "datasets"]
    datasets = listing["datasets"]
    assert isinstance(datasets, dict)
    assert sorted(datasets) == ["posts", "users"]
    [lake_object] = datasets["posts"]["objects"]
    assert lake_object["uri"] == "memory://lake/posts/listed.parquet"
    assert {"uri", "rows", "bytes", "sha256"} == set(lake_object)
    assert [(export["format"], export["rows"]) for export in datasets["posts"]["exports"]] == [
        ("csv", 100),
        ("parquet", 100),
        ("csv", 100),
        ("parquet", 100),
    ]


@pytest.mark.parametrize("point", ["quality.checked", "quality.listed", "quality.completed"])
async def test_a_crash_between_the_steps_leads_to_the_same_verdict_and_one_completion(
    quality: Quality, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    record = await drained(quality, "crashed")
    with monkeypatch.context() as patch:
        patch.setattr(crashpoints, "reach", cut_off_at(point))
        with pytest.raises(CutOffError):
            await quality.handlers.on_run_drained(record)
    before = await quality.listing("crashed")
    verdict = await quality.pool.fetchval("SELECT value FROM onpoint_runs.verdicts")
    completed = event_of(await quality.handlers.on_run_drained(record))
    assert encode(completed).decode() == verdict
    assert before in (None, await quality.listing("crashed"))
    await check_agreement(quality, completed)
    # The transaction was aborted, so the record comes once more: the very same event.
    assert event_of(await quality.handlers.on_run_drained(record)) == completed


async def test_a_crash_before_the_verdict_leaves_nothing(
    quality: Quality, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: object) -> NoReturn:
        raise CutOffError

    record = await drained(quality, "undecided")
    with monkeypatch.context() as patch:
        patch.setattr(Checks, "run", die)
        with pytest.raises(CutOffError):
            await quality.handlers.on_run_drained(record)
    assert await quality.listing("undecided") is None
    await check_agreement(quality, event_of(await quality.handlers.on_run_drained(record)))


async def test_another_copy_of_the_record_publishes_nothing(quality: Quality) -> None:
    record = await drained(quality, "copied")
    await quality.handlers.on_run_drained(record)
    assert not await quality.handlers.on_run_drained(quality.drained_record("copied"))


async def test_of_two_records_that_decide_at_once_one_publishes(postgres_dsn: str, quality: Quality) -> None:
    async with open_quality(postgres_dsn, quality.catalog) as elsewhere:
        other = Quality(elsewhere.pool, quality.catalog, quality.staging, quality.lake)
        for attempt in range(20):
            await quality.handle(*small(f"twins-{attempt}").events())
            records = [quality.drained_record(f"twins-{attempt}") for _ in range(2)]
            answers = await asyncio.gather(
                quality.handlers.on_run_drained(records[0]), other.handlers.on_run_drained(records[1])
            )
            assert sorted(len(answer) for answer in answers) == [0, 1]
            await check_agreement(quality, event_of(max(answers, key=len)))


async def test_a_forged_or_early_record_completes_nothing(quality: Quality) -> None:
    await quality.handle(*small("early").events()[:-1])
    for run_id in ("early", "unknown"):
        event = RunDrained(run_id=run_id, requested_at=REQUESTED_AT)
        record = Record(topics.RUN_DRAINED, 0, 1, 0, run_id.encode(), encode(event))
        with pytest.raises(PermanentError) as refusal:
            await quality.handlers.on_run_drained(record)
        assert refusal.value.reason is Reason.SCHEMA
        assert await quality.listing(run_id) is None
    assert await quality.pool.fetchval("SELECT count(*) FROM onpoint_runs.verdicts") == 0


async def test_late_duplicates_change_nothing_after_the_completion(quality: Quality) -> None:
    story = small("late")
    record = await drained(quality, "late")
    completed = event_of(await quality.handlers.on_run_drained(record))
    listing = await quality.listing("late")
    dead = Story("late", {"posts": (Batch(dead=frozenset({"loader"})),)}).result("posts", 0, "loader")
    published = len(quality.published)
    await quality.handle(*story.events(), dead)
    assert len(quality.published) == published
    assert event_of(await quality.handlers.on_run_drained(record)) == completed
    assert await quality.listing("late") == listing
    await check_agreement(quality, completed)


@pytest.mark.parametrize("point", ["quality.recorded", "quality.assigned"])
async def test_a_crash_on_the_way_to_a_milestone_is_made_good(
    quality: Quality, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """After the result: by the record that comes again. After the milestone: by the loop."""
    events = small("half").events()
    await quality.handle(*events[:-1])
    with monkeypatch.context() as patch:
        patch.setattr(crashpoints, "reach", cut_off_at(point))
        with pytest.raises(CutOffError):
            await quality.handle(events[-1])
    assert not quality.published_to(topics.RUN_DRAINED, "half")
    await quality.handle(events[-1])
    await quality.pool.execute("UPDATE onpoint_runs.runs SET drained_at = drained_at - interval '3 s'")
    await quality.handlers.ledger.publish_unpublished()
    assert len(quality.published_to(topics.RUN_DRAINED, "half")) == 1
    assert await quality.handlers.ledger.publish_unpublished() == 0


async def test_a_milestone_that_was_published_but_not_written_down_is_published_again(
    quality: Quality, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(crashpoints, "reach", cut_off_at("quality.announced"))
        with pytest.raises(CutOffError):
            await quality.handle(*Story("again", {"posts": ()}).plans())
    assert await quality.handlers.ledger.publish_unpublished() == 0, "it may still be on its way"
    await quality.pool.execute(
        "UPDATE onpoint_runs.runs SET drained_at = drained_at - interval '3 s', sealed_at = sealed_at - interval '3 s'"
    )
    assert await quality.handlers.ledger.publish_unpublished() == 2
    assert len(quality.published_to(topics.RUN_DRAINED, "again")) == 2


async def test_after_a_loss_of_the_bus_an_unfinished_run_announces_again_and_ends(quality: Quality) -> None:
    ended = await drained(quality, "ended")
    await quality.handlers.on_run_drained(ended)
    await drained(quality, "lost")
    await quality.pool.execute(
        "UPDATE onpoint_runs.runs SET drained_at = drained_at - interval '3 s', sealed_at = sealed_at - interval '3 s'"
    )
    quality.published.clear()

    assert await quality.pool.fetchval("SELECT onpoint_runs.announce_again()") == 1
    await quality.handlers.ledger.publish_unpublished()

    assert {(event.topic, event.key) for event in quality.published} == {
        (topics.RUN_SEALED, "lost"),
        (topics.RUN_DRAINED, "lost"),
    }
    assert (await quality.complete("lost")).status == "succeeded"
    assert await quality.pool.fetchval("SELECT onpoint_runs.announce_again()") == 0


async def test_what_does_not_fit_into_the_event_is_counted_in_its_reason(quality: Quality) -> None:
    pages = tuple(
        MissingPage(url=f"http://source/{number}/{'ü' * 900}", reason="x" * 900) for number in range(40)
    )
    story = Story("wide", {"posts": tuple(Batch(missing=pages) for _ in range(20))})
    await quality.handle(*story.events())
    completed = await quality.complete("wide")
    assert len(encode(completed)) <= 1_000_000
    assert 300 < len(completed.missing) < 500
    assert completed.reason is not None
    assert completed.reason.startswith("posts: 800 pages are missing, the first: xxx")
    assert completed.reason.endswith(f"{800 - len(completed.missing)} more missing pages are not listed")
