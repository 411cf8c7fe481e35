import asyncio
import random

import pytest

from shared.bus.messages import Outgoing, Record
from shared.errors import PermanentError
from shared.events import topics
from shared.events.decode import encode
from shared.events.models import (
    BatchManifest,
    BatchUnreadable,
    CrawlPlanned,
    CrawlRequest,
    MissingPage,
    RunCompleted,
    RunSealed,
)
from shared.events.topology import Stage
from shared.reasons import Reason
from shared.storage import keys
from tests.integration.quality.conftest import Quality, open_quality
from tests.integration.quality.story import PRODUCED_AT, REQUESTED_AT, Batch, Story

pytestmark = pytest.mark.integration

SEEDS = 200


def eventful(run_id: str) -> Story:
    """Three datasets, a batch dead at every stage and at several, an empty batch, a missing page."""
    page = MissingPage(url="http://source/?page=2", reason="page 2 is missing: the source answers HTTP 503")
    return Story(
        run_id,
        {
            "posts": (
                Batch(100),
                Batch(40, dead=frozenset({"crawler"}), missing=(page,)),
                Batch(60, dead=frozenset({"processor"})),
                Batch(0),
            ),
            "users": (
                Batch(20, dead=frozenset({"loader"})),
                Batch(20, dead=frozenset({"s3sink", "converter"})),
            ),
            "comments": (),
        },
    )


def check_row_accounting(story: Story, completed: RunCompleted, dead_by: str = "handler") -> None:
    assert {name: story.summary(name, dead_by) for name in story.datasets} == completed.datasets


def undecodable(story: Story, dataset: str, sequence: int, stage: Stage) -> Outgoing:
    batch_id = story.batch_id(dataset, sequence)
    failed = BatchUnreadable(batch_id=batch_id, stage=stage, reason=Reason.DECODE, detail="not JSON")
    return Outgoing(topics.BATCH_FAILED, batch_id, failed)


async def put_in_staging(quality: Quality, result: Outgoing) -> None:
    manifest = result.event
    assert isinstance(manifest, BatchManifest)
    key = keys.manifest_key(manifest.run_id, manifest.dataset, manifest.stage, manifest.batch_id)
    await quality.staging.create(key, encode(manifest))


async def test_every_order_of_events_each_twice_gives_the_same_row_counts_and_one_of_each_milestone(
    quality: Quality,
) -> None:
    for seed in range(SEEDS):
        story = eventful(f"order-{seed}")
        events = story.events() * 2
        random.Random(seed).shuffle(events)  # noqa: S311 - a reproducible order, not a secret
        await quality.handle(*events)
        [sealed] = quality.published_to(topics.RUN_SEALED, story.run_id)
        assert isinstance(sealed.event, RunSealed)
        assert sealed.event.batches == {"posts": 2, "users": 2, "comments": 0}
        completed = await quality.complete(story.run_id)
        check_row_accounting(story, completed)
        assert completed.status == "partial"
        assert completed.reason == (
            "posts: page 2 is missing: the source answers HTTP 503 (http://source/?page=2), "
            "2 batches are dead, the first at the processor: it died; "
            "users: 2 batches are dead, the first at the loader: it died"
        )


async def test_a_run_is_sealed_by_its_last_processed_batch_and_drained_by_its_last_result(
    quality: Quality,
) -> None:
    story = Story("steps", {"posts": (Batch(), Batch(dead=frozenset({"processor"})))})
    first, second = (story.results_of_batch("posts", sequence) for sequence in range(2))
    await quality.handle(*story.plans(), *first, second[0])
    assert not quality.published
    await quality.handle(second[1])
    assert [event.topic for event in quality.published] == [topics.RUN_SEALED, topics.RUN_DRAINED]

    other = Story("steps-2", {"posts": (Batch(),)})
    crawled, processed, converted, loaded, stored = other.results("posts")
    await quality.handle(*other.plans(), processed, converted, loaded, stored)
    assert quality.published_to(topics.RUN_SEALED, "steps-2")
    assert not quality.published_to(topics.RUN_DRAINED, "steps-2"), "what was crawled is not counted yet"
    await quality.handle(crawled)
    assert quality.published_to(topics.RUN_DRAINED, "steps-2")


async def test_two_ledgers_at_once_miss_no_milestone_and_assign_it_once(
    postgres_dsn: str, quality: Quality
) -> None:
    async with open_quality(postgres_dsn, quality.catalog) as other:
        for seed in range(40):
            story = eventful(f"pair-{seed}")
            events = story.events()
            halves = [random.Random(f"{seed}-{half}").sample(events, len(events)) for half in range(2)]  # noqa: S311 - as above
            await asyncio.gather(quality.handle(*halves[0]), other.handle(*halves[1]))
            for topic in (topics.RUN_SEALED, topics.RUN_DRAINED):
                both = quality.published_to(topic, story.run_id) + other.published_to(topic, story.run_id)
                assert len(both) == 1
            where = quality if quality.published_to(topics.RUN_DRAINED, story.run_id) else other
            check_row_accounting(story, await where.complete(story.run_id))


async def test_the_last_results_of_two_datasets_at_the_same_moment_are_both_seen(
    postgres_dsn: str, quality: Quality
) -> None:
    async with open_quality(postgres_dsn, quality.catalog) as other:
        for attempt in range(60):
            story = Story(f"race-{attempt}", {"posts": (Batch(),), "users": (Batch(),)})
            posts, users = story.results("posts"), story.results("users")
            await quality.handle(*story.plans(), *posts[:-1], *users[:-1])
            await asyncio.gather(quality.handle(posts[-1]), other.handle(users[-1]))
            drained = quality.published_to(topics.RUN_DRAINED, story.run_id) + other.published_to(
                topics.RUN_DRAINED, story.run_id
            )
            assert len(drained) == 1


async def test_a_refused_request_is_drained_at_once(quality: Quality) -> None:
    request = CrawlRequest(
        run_id="refused",
        datasets=("nonsense",),
        requested_at=REQUESTED_AT,
        refused="there is no dataset nonsense",
    )
    planned = CrawlPlanned(
        run_id="refused",
        dataset=None,
        batches=0,
        requested_at=REQUESTED_AT,
        request=request,
        produced_at=PRODUCED_AT,
    )
    await quality.handle(Outgoing(topics.CRAWL_PLANNED, "refused", planned))
    completed = await quality.complete("refused")
    assert completed.status == "failed"
    assert completed.reason == "refused: there is no dataset nonsense"
    assert completed.datasets == {}
    assert (await quality.listing("refused") or {})["datasets"] == {}


async def test_a_run_without_batches_succeeds_with_zeros(quality: Quality) -> None:
    story = Story("empty", {"posts": (), "users": ()})
    await quality.handle(*story.plans())
    completed = await quality.complete("empty")
    assert (completed.status, completed.reason) == ("succeeded", None)
    check_row_accounting(story, completed)


async def test_a_result_stays_whatever_a_stage_publishes_about_the_batch_later(quality: Quality) -> None:
    story = Story("first", {"posts": (Batch(),)})
    died = Story("first", {"posts": (Batch(dead=frozenset({"loader"})),)})
    await quality.handle(*story.events()[:-1])
    await quality.handle(died.result("posts", 0, "loader"), story.result("posts", 0, "s3sink"))
    check_row_accounting(story, await quality.complete("first"))


async def test_the_first_plan_of_a_dataset_counts(quality: Quality) -> None:
    story = Story("replanned", {"posts": (Batch(), Batch())})
    shorter = Story("replanned", {"posts": (Batch(),)})
    await quality.handle(*story.plans(), *shorter.plans(), *story.results_of_batch("posts", 0))
    assert not quality.published
    await quality.handle(*story.results_of_batch("posts", 1))
    assert (await quality.complete("replanned")).datasets["posts"].batches == 2


@pytest.mark.parametrize("when", ["before the plan", "after the plan", "after the crawl"])
async def test_an_undecodable_record_is_found_by_its_key(quality: Quality, when: str) -> None:
    """Neither the processor nor quality can decode the crawler's event: the manifest is in staging."""
    run_id = "undecodable-" + when.replace(" ", "-")
    story = Story(run_id, {"posts": (Batch(100), Batch(50, dead=frozenset({"processor"})))})
    good = story.results_of_batch("posts", 0)
    crawled = story.result("posts", 1, "crawler")
    await put_in_staging(quality, crawled)
    failed = undecodable(story, "posts", 1, "processor")
    orders = {
        "before the plan": [failed, *story.plans(), *good],
        "after the plan": [*story.plans(), failed, *good],
        "after the crawl": [crawled, failed, *good, *story.plans()],
    }
    await quality.handle(*orders[when])
    check_row_accounting(story, await quality.complete(run_id), "decode")
    await quality.handle(failed)
    assert len(quality.published_to(topics.RUN_DRAINED, run_id)) == 1


async def test_a_processed_batch_whose_event_is_undecodable_is_lost_from_there_on(quality: Quality) -> None:
    fate = frozenset[Stage]({"converter", "loader", "s3sink"})
    story = Story("unread-processed", {"posts": (Batch(100, dead=fate), Batch(100))})
    await put_in_staging(quality, story.result("posts", 0, "processor"))
    await quality.handle(
        *story.plans(), story.result("posts", 0, "crawler"), *story.results_of_batch("posts", 1)
    )
    for stage in sorted(fate):
        await quality.handle(undecodable(story, "posts", 0, stage))
    completed = await quality.complete("unread-processed")
    check_row_accounting(story, completed)
    assert {(dead.stage, dead.reason) for dead in completed.dead} == {(stage, "decode") for stage in fate}


async def test_a_failure_of_an_unknown_run_waits_and_harms_no_other(quality: Quality) -> None:
    failed = BatchUnreadable(batch_id="0" * 32, stage="loader", reason=Reason.DECODE, detail="not\x00JSON")
    await quality.handle(Outgoing(topics.BATCH_FAILED, failed.batch_id, failed))
    story = Story("beside", {"posts": (Batch(),)})
    await quality.handle(*story.events())
    check_row_accounting(story, await quality.complete("beside"))
    assert await quality.pool.fetchval("SELECT count(*) FROM onpoint_runs.unmatched_failures") == 1


@pytest.mark.parametrize("stage", ["crawler", "processor", "converter"])
async def test_a_result_that_the_ledger_cannot_read_is_taken_from_staging(
    quality: Quality, stage: Stage
) -> None:
    story = Story(f"unread-{stage}", {"posts": (Batch(),)})
    result = story.result("posts", 0, stage)
    await put_in_staging(quality, result)
    await quality.handle(*(event for event in story.events() if event != result))
    garbage = Record(result.topic, 0, 7, 0, result.key.encode(), b"\xff")
    with pytest.raises(PermanentError) as refusal:
        await quality.handlers.on_ledger_event(garbage)
    assert (await quality.handlers.mark_failed(garbage, refusal.value)).dead
    completed = await quality.complete(story.run_id)
    check_row_accounting(story, completed)


async def test_garbage_under_the_key_of_a_batch_does_not_take_the_place_of_its_result(
    quality: Quality,
) -> None:
    story = Story("garbage", {"posts": (Batch(),)})
    processed = story.result("posts", 0, "processor")
    garbage = Record(processed.topic, 0, 7, 0, processed.key.encode(), b"{")
    await quality.handle(*story.plans())
    await quality.handlers.mark_failed(garbage, PermanentError(Reason.DECODE, "not JSON"))
    await quality.handle(*story.results("posts"))
    check_row_accounting(story, await quality.complete("garbage"))


async def test_an_undecodable_event_of_the_loader_marks_its_batch_failed_there(quality: Quality) -> None:
    story = Story("unread-loaded", {"posts": (Batch(dead=frozenset({"loader"})), Batch())})
    died = story.result("posts", 0, "loader")
    await quality.handle(*(event for event in story.events() if event != died))
    garbage = Record(topics.BATCH_LOADED, 0, 7, 0, died.key.encode(), b"")
    await quality.handlers.mark_failed(garbage, PermanentError(Reason.VERSION, "version 9"))
    check_row_accounting(story, await quality.complete("unread-loaded"))


async def test_a_batch_that_is_dead_at_two_stages_does_not_seal_the_run_for_another(quality: Quality) -> None:
    """Counters alone would take the second death for the batch that is still on its way."""
    story = Story("twice-dead", {"posts": (Batch(dead=frozenset({"crawler"})), Batch())})
    crawled, *others = story.results_of_batch("posts", 1)
    await quality.handle(*story.plans(), story.result("posts", 0, "crawler"), crawled)
    await quality.handle(undecodable(story, "posts", 0, "processor"))
    assert not quality.published
    await quality.handle(*others)
    assert len(quality.published_to(topics.RUN_DRAINED, "twice-dead")) == 1


async def test_wrong_results_are_refused_for_good(quality: Quality) -> None:
    story = Story("wrong", {"posts": (Batch(),)})
    good = story.result("posts", 0, "loader").event
    assert isinstance(good, BatchManifest)
    wrong = [
        Outgoing(topics.BATCH_LOADED, "0" * 32, good.model_copy(update={"batch_id": "0" * 32})),
        Outgoing(topics.BATCH_LOADED, "0" * 32, good),
        Outgoing(topics.BATCH_STORED, good.batch_id, good),
        Outgoing(
            topics.CRAWL_PLANNED, "wrong", story.plan("posts").event.model_copy(update={"dataset": "users"})
        ),
        Outgoing(
            topics.CRAWL_PLANNED, "wrong", story.plan("posts").event.model_copy(update={"run_id": "other"})
        ),
    ]
    for event in wrong:
        with pytest.raises(PermanentError) as refusal:
            await quality.handle(event)
        assert refusal.value.reason is Reason.SCHEMA
    assert await quality.pool.fetchval("SELECT count(*) FROM onpoint_runs.runs") == 0


async def test_text_that_postgres_cannot_store_costs_no_result(quality: Quality) -> None:
    page = MissingPage(url="http://source/\x00", reason="\x00")
    story = Story("nul", {"posts": (Batch(missing=(page,)),)})
    dead = story.result("posts", 0, "loader").event.model_copy(
        update={"status": "dead", "detail": "NUL: \x00"}
    )
    request = story.request.model_copy(update={"requested_by": "no\x00body"})
    plan = story.plan("posts").event.model_copy(update={"request": request})
    await quality.handle(Outgoing(topics.CRAWL_PLANNED, "nul", plan))
    await quality.handle(
        Outgoing(topics.BATCH_FAILED, story.batch_id("posts", 0), dead), *story.results("posts")
    )
    completed = await quality.complete("nul")
    assert completed.missing[0].url == "http://source/\N{REPLACEMENT CHARACTER}"
    assert (
        await quality.pool.fetchval("SELECT requested_by FROM onpoint_runs.v_runs")
        == "no\N{REPLACEMENT CHARACTER}body"
    )


async def test_the_views_tell_of_a_run_under_way(quality: Quality) -> None:
    story = Story(
        "viewed", {"posts": (Batch(100), Batch(60, dead=frozenset({"loader"}))), "users": (Batch(),)}
    )
    crawled, processed = story.results_of_batch("posts", 0)[:2]
    await quality.handle(crawled, processed)
    row = await quality.pool.fetchrow("SELECT * FROM onpoint_runs.v_runs")
    assert row is not None
    assert (row["run_id"], row["status"], row["datasets"], row["completed"]) == (
        "viewed",
        "running",
        ["posts"],
        None,
    )
    await quality.handle(*story.plans(), *story.results_of_batch("posts", 1))
    row = await quality.pool.fetchrow("SELECT * FROM onpoint_runs.v_runs")
    assert row is not None
    assert (row["datasets"], row["requested_by"], row["requested_at"]) == (
        ["posts", "users"],
        "a test",
        REQUESTED_AT,
    )
    progress = {
        (row["dataset"], row["stage"]): tuple(row.values())[3:]
        for row in await quality.pool.fetch("SELECT * FROM onpoint_runs.v_progress")
    }
    assert progress["posts", "crawler"] == (2, 160, 2, 0, 160)
    assert progress["posts", "processor"] == (2, 160, 2, 0, 85 + 51)
    assert progress["posts", "loader"] == (2, 160, 0, 1, 0)
    assert progress["users", "crawler"] == (1, 100, 0, 0, 0)
