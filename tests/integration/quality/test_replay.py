"""Runs that replay another, cancelled runs, exports that are missing, and records that nothing can complete."""

from dataclasses import dataclass, replace
from typing import NoReturn

import pytest

from services.quality.service.checks import Checks
from services.quality.service.completion import NotDrainedError
from services.quality.service.listings import Listings
from shared import crashpoints
from shared.bus.delivery import out_of_tries
from shared.bus.messages import Outgoing
from shared.errors import PermanentError
from shared.events import topics
from shared.events.models import BatchManifest, BatchUnreadable, CrawlPlanned, RunCompleted, RunDrained
from shared.events.topology import ReplayStage, stages_of
from shared.reasons import Reason
from shared.storage.errors import StorageUnavailableError
from tests.integration.quality.conftest import Quality, dataset
from tests.integration.quality.story import REQUESTED_AT, Batch, Story
from tests.integration.quality.test_completion import CutOffError, cut_off_at, small

pytestmark = pytest.mark.integration

BROKEN = out_of_tries(ValueError("the handler is \x00 broken"))


def replay(story: Story, of: str, from_stage: ReplayStage = "processor") -> Story:
    request = story.request.model_copy(update={"replay_of": of, "from_stage": from_stage})
    object.__setattr__(story, "request", request)
    return story


def asked(story: Story) -> list[Outgoing]:
    """The events of the stages that the replay has."""
    stages = {*stages_of(story.request.from_stage)}
    return [e for e in story.events() if not isinstance(e.event, BatchManifest) or e.event.stage in stages]


async def superseded_by(quality: Quality, run_id: str) -> object:
    await quality.listings.catch_up()
    return (await quality.listing(run_id) or {}).get("superseded_by", "no listing")


async def test_a_replay_that_delivered_supersedes_the_listing_of_its_original(quality: Quality) -> None:
    await quality.handle(*small("old").events())
    await quality.complete("old")
    assert await superseded_by(quality, "old") is None
    before = await quality.listing("old")
    await quality.handle(*replay(small("new"), "old").events())
    await quality.complete("new")
    assert await superseded_by(quality, "old") == "new"
    assert before is not None
    assert {**before, "superseded_by": "new"} == await quality.listing("old")
    assert await superseded_by(quality, "new") is None
    row = await quality.pool.fetchrow("SELECT * FROM onpoint_runs.v_runs WHERE run_id = 'old'")
    assert row is not None
    assert (row["superseded_by"], row["status"]) == ("new", "succeeded")


async def test_a_replay_that_failed_or_was_cancelled_supersedes_nothing(quality: Quality) -> None:
    await quality.handle(*small("old").events())
    await quality.complete("old")
    nothing = Story("new", {"posts": (Batch(dead=frozenset({"crawler"})),)})
    await quality.handle(*replay(nothing, "old").events())
    assert (await quality.complete("new")).status == "failed"
    assert await superseded_by(quality, "old") is None


LAST_FIGURES: dict[ReplayStage, dict[str, object]] = {
    "converter": {"exports": {}},
    "loader": {"rows_loaded": 0, "rows_superseded": 0, "rows_not_loaded": 0},
    "s3sink": {"rows_stored": 0, "rows_not_stored": 0, "objects_stored": 0, "bytes_stored": 0},
}
"""What `run.completed` contains for a stage that the run does not have."""


@pytest.mark.parametrize("stage", list(LAST_FIGURES))
@pytest.mark.parametrize("plan_comes_last", [False, True])
async def test_a_replay_ends_when_its_own_stage_has_and_counts_that_alone(
    quality: Quality, stage: ReplayStage, *, plan_comes_last: bool
) -> None:
    quality.catalog["posts"] = dataset("posts", checks=[{"kind": "row_count", "min": 1}])
    story = replay(Story("new", {"posts": (Batch(), Batch(dead=frozenset({stage})))}), "old", stage)
    events = asked(story)
    *most, last = events[1:] + events[:1] if plan_comes_last else events
    await quality.handle(*most)
    assert quality.published_to(topics.RUN_DRAINED, "new") == []
    await quality.handle(last)
    completed = await quality.complete("new")
    others = {k: v for name, figures in LAST_FIGURES.items() if name != stage for k, v in figures.items()}
    assert completed.datasets["posts"] == story.summary("posts").model_copy(update=others)
    assert (completed.status, completed.from_stage) == ("partial", stage)
    assert [dead.stage for dead in completed.dead] == [stage]
    assert [check.name for check in completed.checks] == (["row_count"] if stage == "loader" else [])
    progress = await quality.pool.fetch("SELECT stage FROM onpoint_runs.v_progress WHERE run_id = 'new'")
    assert {row["stage"] for row in progress} == {"crawler", "processor", stage}


@pytest.mark.parametrize("stage", list(LAST_FIGURES))
async def test_what_a_replay_has_not_asked_for_can_be_dead_and_is_not_missing(
    quality: Quality, stage: ReplayStage
) -> None:
    story = replay(small("new"), "old", stage)
    await quality.handle(*asked(story))
    unread = next(name for name in LAST_FIGURES if name != stage)
    batch_id = story.batch_id("posts", 0)
    failed = BatchUnreadable(batch_id=batch_id, stage=unread, reason=Reason.DECODE, detail="not JSON")
    await quality.handle(Outgoing(topics.BATCH_FAILED, batch_id, failed))
    completed = await quality.complete("new")
    assert (completed.status, completed.reason, completed.dead) == ("succeeded", None, ())


@pytest.mark.parametrize("stage", list(LAST_FIGURES))
async def test_a_replay_whose_own_stage_delivered_nothing_has_failed(
    quality: Quality, stage: ReplayStage
) -> None:
    story = replay(Story("new", {"posts": (Batch(dead=frozenset({stage})),)}), "old", stage)
    await quality.handle(*asked(story))
    assert (await quality.complete("new")).status == "failed"


@pytest.mark.parametrize(("stage", "replaced"), [("converter", None), ("loader", None), ("s3sink", "new")])
async def test_only_a_replay_that_wrote_the_lake_supersedes_the_listing(
    quality: Quality, stage: ReplayStage, replaced: str | None
) -> None:
    await quality.handle(*small("old").events())
    await quality.complete("old")
    await quality.handle(*asked(replay(small("new"), "old", stage)))
    assert (await quality.complete("new")).status == "succeeded"
    assert await superseded_by(quality, "old") == replaced


async def test_a_crash_after_the_replay_is_completed_still_supersedes(
    quality: Quality, monkeypatch: pytest.MonkeyPatch
) -> None:
    await quality.handle(*small("old").events())
    await quality.complete("old")
    await quality.handle(*replay(small("new"), "old").events())
    record = quality.drained_record("new")
    for point in ("quality.listed", "quality.completed"):
        with monkeypatch.context() as patch:
            patch.setattr(crashpoints, "reach", cut_off_at(point))
            with pytest.raises(CutOffError):
                await quality.handlers.on_run_drained(record)
    assert await superseded_by(quality, "old") == "new"


async def test_an_original_that_goes_on_is_listed_as_superseded_when_it_ends(quality: Quality) -> None:
    *most, last = small("old").events()
    await quality.handle(*most)
    await quality.handle(*replay(small("new"), "old").events())
    await quality.complete("new")
    assert await superseded_by(quality, "old") == "no listing"
    await quality.handle(last)
    await quality.complete("old")
    assert (await quality.listing("old") or {})["superseded_by"] == "new"


async def test_of_several_replays_the_one_requested_last_supersedes_whatever_ends_first(
    quality: Quality,
) -> None:
    await quality.handle(*small("old").events())
    await quality.complete("old")
    for name in ("new-2", "new-1"):
        await quality.handle(*replay(small(name), "old").events())
        await quality.complete(name)
        assert await superseded_by(quality, "old") == "new-2"
    await quality.handle(*replay(small("chain"), "new-2").events())
    await quality.complete("chain")
    assert await superseded_by(quality, "new-2") == "chain"
    assert await superseded_by(quality, "old") == "new-2"


async def test_a_replay_of_itself_or_of_nothing_harms_no_other(quality: Quality) -> None:
    for name, of in (("self", "self"), ("orphan", "unknown")):
        await quality.handle(*replay(small(name), of).events())
        assert (await quality.complete(name)).status == "succeeded"
        assert await superseded_by(quality, name) is None


@dataclass(frozen=True)
class Cancelled(Story):
    """A run whose batches die of a cancel mark where they would have died of a fault."""

    def result(self, dataset: str, sequence: int, stage: object) -> Outgoing:
        event = super().result(dataset, sequence, stage)  # type: ignore[arg-type]  # a Stage, named as object for brevity
        if event.topic != topics.BATCH_FAILED:
            return event
        assert isinstance(event.event, BatchManifest)
        return replace(event, event=event.event.model_copy(update={"reason": Reason.CANCELLED}))


@pytest.mark.parametrize("stage", ["crawler", "processor", "converter", "loader", "s3sink"])
async def test_a_run_of_which_a_batch_died_of_its_cancellation_is_cancelled(
    quality: Quality, stage: str
) -> None:
    batches = (Batch(100), Batch(100, dead=frozenset({stage})))  # type: ignore[arg-type]  # a Stage by the list above
    story = Cancelled("stopped", {"posts": batches})
    await quality.handle(*story.events())
    completed = await quality.complete("stopped")
    assert (completed.status, completed.reason) == ("cancelled", "the run was cancelled")
    assert [(dead.stage, dead.reason) for dead in completed.dead] == [(stage, "cancelled")]
    assert completed.datasets["posts"] == story.summary("posts", "cancelled")
    assert (await quality.listing("stopped") or {})["status"] == "cancelled"


async def test_a_run_that_was_cancelled_before_its_crawl_is_cancelled(quality: Quality) -> None:
    story = Cancelled("unstarted", {"posts": (Batch(0, dead=frozenset({"crawler"})),), "users": ()})
    await quality.handle(*story.events())
    assert (await quality.complete("unstarted")).status == "cancelled"


def with_failed_format(
    story: Story, sequence: int, surviving: str | None, detail: str = "csv: PermanentError: x"
) -> Outgoing:
    event = story.result("posts", sequence, "converter")
    manifest = event.event
    assert isinstance(manifest, BatchManifest)
    artifacts = tuple(artifact for artifact in manifest.artifacts if artifact.format == surviving)
    return replace(event, event=manifest.model_copy(update={"artifacts": artifacts, "detail": detail}))


@pytest.mark.parametrize("asked", ["by the request", "by the dataset's file"])
async def test_a_format_that_could_not_be_written_makes_the_run_partial_and_is_named(
    quality: Quality, asked: str
) -> None:
    story = Story("exports", {"posts": (Batch(clean=True), Batch(clean=True), Batch(clean=True))})
    formats = ("parquet", "csv")
    if asked == "by the request":
        request = story.request.model_copy(update={"formats": formats})
        object.__setattr__(story, "request", request)
    else:
        quality.catalog["posts"] = quality.catalog["posts"].model_copy(update={"formats": formats})
    converted = story.result("posts", 1, "converter")
    await quality.handle(*(event for event in story.events() if event != converted))
    await quality.handle(with_failed_format(story, 1, "parquet"))
    completed = await quality.complete("exports")
    assert (completed.status, completed.reason) == (
        "partial",
        "posts: csv could not be written for 1 of 3 batches",
    )
    assert completed.datasets["posts"].exports == {"parquet": 3, "csv": 2}


async def complete_dead(quality: Quality, run_id: str, error: PermanentError = BROKEN) -> list[Outgoing]:
    outcome = await quality.handlers.mark_drained_failed(quality.drained_record(run_id), error)
    assert outcome.dead
    return list(outcome.events)


async def test_a_run_whose_record_ran_out_of_tries_ends_as_failed(quality: Quality) -> None:
    await quality.handle(*small("broken").events())
    record = quality.drained_record("broken")
    outcome = await quality.handlers.mark_drained_failed(record, BROKEN)
    assert outcome.dead
    [outgoing] = outcome.events
    completed = outgoing.event
    assert isinstance(completed, RunCompleted)
    assert (outgoing.topic, outgoing.key, completed.status) == (topics.RUN_COMPLETED, "broken", "failed")
    assert completed.reason == "the run could not be completed: ValueError: the handler is \ufffd broken"
    assert completed.datasets["posts"] == small("broken").summary("posts")
    listing = await quality.listing("broken")
    assert listing is not None
    assert listing["status"] == "failed"
    row = await quality.pool.fetchrow("SELECT status, reason FROM onpoint_runs.v_runs")
    assert row is not None
    assert tuple(row) == (completed.status, completed.reason)
    # Killed before its offset was committed: the very same event, whichever way the record goes now.
    assert list(await quality.handlers.on_run_drained(record)) == [outgoing]
    assert (await quality.handlers.mark_drained_failed(record, BROKEN)).events == (outgoing,)
    # Any other copy, a replayed dead letter among them, tells nothing.
    assert not await quality.handlers.on_run_drained(quality.drained_record("broken"))
    assert not await complete_dead(quality, "broken")
    assert await quality.listings.catch_up() == 0


async def test_what_keeps_everything_from_being_known_does_not_keep_the_run_open(
    quality: Quality, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> NoReturn:
        raise ValueError("the data is not what it should be")

    await quality.handle(*small("unknown").events())
    with monkeypatch.context() as patch:
        patch.setattr(type(quality.handlers.completion), "_evaluate", fail)
        patch.setattr(Listings, "write", fail)
        [outgoing] = await complete_dead(quality, "unknown")
        assert isinstance(outgoing.event, RunCompleted)
        assert (outgoing.event.status, outgoing.event.datasets) == ("failed", {})
        assert await quality.listings.catch_up() == 1
        assert await quality.listings.catch_up() == 0, "it rests"
    quality.listings._backing_off.clear()  # noqa: SLF001 - a minute later
    assert await quality.listings.catch_up() == 1
    assert (await quality.listing("unknown") or {})["status"] == "failed"


async def test_a_verdict_that_could_not_be_carried_out_gives_way(
    quality: Quality, monkeypatch: pytest.MonkeyPatch
) -> None:
    await quality.handle(*small("decided").events())
    record = quality.drained_record("decided")
    with monkeypatch.context() as patch:
        patch.setattr(crashpoints, "reach", cut_off_at("quality.listed"))
        with pytest.raises(CutOffError):
            await quality.handlers.on_run_drained(record)
    assert (await quality.listing("decided") or {})["status"] == "succeeded"
    [outgoing] = (await quality.handlers.mark_drained_failed(record, BROKEN)).events
    assert isinstance(outgoing.event, RunCompleted)
    assert outgoing.event.status == "failed"
    assert (await quality.listing("decided") or {})["status"] == "failed"


async def test_a_completed_run_is_not_failed_afterwards(quality: Quality) -> None:
    await quality.handle(*small("good").events())
    completed = await quality.complete("good")
    assert not await complete_dead(quality, "good")
    assert await quality.pool.fetchval("SELECT status FROM onpoint_runs.v_runs") == completed.status


async def test_an_outage_while_giving_up_is_an_outage(
    quality: Quality, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> NoReturn:
        raise StorageUnavailableError("the lake is away")

    await quality.handle(*small("later").events())
    record = quality.drained_record("later")
    with monkeypatch.context() as patch:
        patch.setattr(Listings, "write", away)
        with pytest.raises(StorageUnavailableError):
            await quality.handlers.mark_drained_failed(record, BROKEN)
    [outgoing] = (await quality.handlers.mark_drained_failed(record, BROKEN)).events
    assert outgoing.topic == topics.RUN_COMPLETED


async def test_an_early_or_undecodable_record_fails_no_run(quality: Quality) -> None:
    await quality.handle(*small("open").events()[:-1])
    event = Outgoing(topics.RUN_DRAINED, "open", RunDrained(run_id="open", requested_at=REQUESTED_AT))
    for record, error in (
        (quality.record(event), NotDrainedError("open")),
        (quality.record(event), BROKEN),
        (replace(quality.record(event), value=b"{"), BROKEN),
    ):
        outcome = await quality.handlers.mark_drained_failed(record, error)
        assert (outcome.dead, outcome.events) == (True, ())
    assert await quality.pool.fetchval("SELECT count(*) FROM onpoint_runs.verdicts") == 0
    await quality.handle(small("open").events()[-1])
    drained = quality.drained_record("open")
    garbage = replace(drained, value=b"\xff")
    assert not (await quality.handlers.mark_drained_failed(garbage, BROKEN)).events
    assert (await quality.complete("open")).status == "succeeded"


async def test_checks_are_not_what_giving_up_depends_on(
    quality: Quality, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> NoReturn:
        raise ValueError("the checks are broken")

    await quality.handle(*small("unchecked").events())
    monkeypatch.setattr(Checks, "run", fail)
    with pytest.raises(ValueError, match="broken"):
        await quality.handlers.on_run_drained(quality.drained_record("unchecked"))
    [outgoing] = await complete_dead(quality, "unchecked")
    assert isinstance(outgoing.event, RunCompleted)
    assert outgoing.event.datasets["users"] == small("unchecked").summary("users")


def test_a_plan_tells_what_its_run_replays() -> None:
    plan = replay(small("new"), "old").plan("posts").event
    assert isinstance(plan, CrawlPlanned)
    assert plan.request.replay_of == "old"
