"""A replayed dead letter: the ledger and the listing follow, whenever it comes; the completion never comes again."""

import asyncio
import json
import random
from datetime import timedelta

import pytest

from shared import crashpoints
from shared.bus.messages import Outgoing
from shared.events import topics
from shared.events.models import Artifact, BatchManifest
from shared.events.topology import STAGES, Stage
from tests.integration.quality.conftest import Quality, open_quality
from tests.integration.quality.story import REQUESTED_AT, Batch, Story
from tests.integration.quality.test_completion import CutOffError, cut_off_at
from tests.integration.quality.test_ledger import check_row_accounting, undecodable

pytestmark = pytest.mark.integration

DEATHS: list[frozenset[Stage]] = [
    frozenset({"crawler"}),
    frozenset({"processor"}),
    frozenset({"converter"}),
    frozenset({"loader"}),
    frozenset({"s3sink"}),
    frozenset({"converter", "loader", "s3sink"}),
]


def two(run_id: str, dead: frozenset[Stage] = frozenset()) -> Story:
    """A batch that lives, and one of the given fate."""
    return Story(run_id, {"posts": (Batch(100), Batch(60, dead=dead))})


async def progress(quality: Quality, run_id: str) -> dict[str, tuple[int, int, int]]:
    rows = await quality.pool.fetch("SELECT * FROM onpoint_runs.v_progress WHERE run_id = $1", run_id)
    return {row["stage"]: (row["batches_done"], row["batches_dead"], row["rows"]) for row in rows}


async def states(quality: Quality, run_id: str) -> list[tuple[object, ...]]:
    rows = await quality.pool.fetch(
        """
        SELECT dataset, sequence, stage, status, reason, rows_read
        FROM onpoint_runs.v_results WHERE run_id = $1 ORDER BY 1, 2, 3
        """,
        run_id,
    )
    return [tuple(row) for row in rows]


def later(story: Story) -> list[Outgoing]:
    """What the stages publish when the dead letter of the second batch is replayed: whatever was done is told again."""
    return story.results_of_batch("posts", 1)


@pytest.mark.parametrize("dead", DEATHS, ids=lambda dead: "+".join(sorted(dead)))
@pytest.mark.parametrize("when", ["before the run is drained", "after it is completed"])
async def test_a_redriven_batch_leaves_the_ledger_as_if_it_had_never_failed(
    quality: Quality, dead: frozenset[Stage], when: str
) -> None:
    died, alive = two("redriven", dead), two("redriven")
    await quality.handle(*died.plans(), *died.results_of_batch("posts", 1))
    if when == "before the run is drained":
        await quality.handle(*later(alive), *died.results_of_batch("posts", 0))
        check_row_accounting(alive, await quality.complete("redriven"))
    else:
        await quality.handle(*died.results_of_batch("posts", 0))
        check_row_accounting(died, await quality.complete("redriven"))
        await quality.handle(*later(alive))
    untouched = Story("untouched", alive.datasets)
    await quality.handle(*untouched.events())
    assert await progress(quality, "redriven") == await progress(quality, "untouched")
    assert await states(quality, "redriven") == await states(quality, "untouched")


async def test_every_order_and_repetition_of_a_failure_and_its_redrive_counts_exactly(
    quality: Quality,
) -> None:
    for seed in range(60):
        chance = random.Random(seed)  # noqa: S311 - a reproducible order, not a secret
        dead = chance.choice(DEATHS)
        died, alive = two(f"mixed-{seed}", dead), two(f"mixed-{seed}")
        events = [*died.plans(), *(died.results("posts") + alive.results("posts")) * 2]
        chance.shuffle(events)
        await quality.handle(*events)
        done = await progress(quality, alive.run_id)
        assert {stage: counts[:2] for stage, counts in done.items()} == dict.fromkeys(done, (2, 0))
        await quality.complete(alive.run_id)


def dies_again(event: Outgoing, minutes: int, artifact: Artifact | None = None) -> Outgoing:
    """The failure of the replay of its dead letter, `minutes` after the first."""
    first = event.event
    assert isinstance(first, BatchManifest)
    again = first.model_copy(
        update={
            "produced_at": first.produced_at + timedelta(minutes=minutes),
            "detail": f"it died {minutes} minutes later",
            "artifacts": () if artifact is None else (artifact,),
        }
    )
    return Outgoing(event.topic, event.key, again)


REQUESTS_LOG = Artifact(
    uri="s3://staging/runs/again/posts/crawler/b.requests.jsonl.zst",
    format="requests.jsonl.zst",
    rows=1,
    bytes=10,
    sha256="b" * 64,
)


async def details(quality: Quality, run_id: str) -> list[tuple[str, str | None, list[str]]]:
    rows = await quality.pool.fetch(
        """
        SELECT stage, detail, ARRAY (SELECT a.uri FROM jsonb_to_recordset(artifacts) AS a (uri text)) AS uris
        FROM onpoint_runs.results WHERE run_id = $1 AND status = 'dead' ORDER BY stage
        """,
        run_id,
    )
    return [(row["stage"], row["detail"], list(row["uris"])) for row in rows]


@pytest.mark.parametrize("stage", STAGES)
async def test_a_replay_that_dies_again_leaves_the_ledger_with_the_later_death(
    quality: Quality, stage: Stage
) -> None:
    died = two("again", frozenset({stage}))
    await quality.handle(*died.events())
    await quality.complete("again")
    before = await progress(quality, "again")
    await quality.handle(dies_again(died.result("posts", 1, stage), 5, REQUESTS_LOG))
    assert await details(quality, "again") == [(stage, "it died 5 minutes later", [REQUESTS_LOG.uri])]
    assert await progress(quality, "again") == before


async def test_deaths_of_one_batch_in_every_order_leave_the_latest_and_count_once(quality: Quality) -> None:
    for seed in range(20):
        chance = random.Random(seed)  # noqa: S311 - a reproducible order, not a secret
        died, alive = two(f"often-{seed}", frozenset({"crawler"})), two(f"often-{seed}")
        first = died.result("posts", 1, "crawler")
        deaths = [first, dies_again(first, 5), dies_again(first, 9)] * 2
        chance.shuffle(deaths)
        await quality.handle(*died.plans(), *deaths)
        assert await details(quality, died.run_id) == [("crawler", "it died 9 minutes later", [])]
        assert (await progress(quality, died.run_id))["crawler"] == (0, 1, 0)
        await quality.handle(*later(alive), *deaths)
        assert (await progress(quality, died.run_id))["crawler"] == (1, 0, 60)


async def test_a_death_with_a_manifest_takes_the_place_of_one_that_only_its_key_told(
    quality: Quality,
) -> None:
    died = two("told", frozenset({"loader"}))
    await quality.handle(*(event for event in died.events() if event != died.result("posts", 1, "loader")))
    await quality.handle(undecodable(died, "posts", 1, "loader"))
    await quality.handle(died.result("posts", 1, "loader"), undecodable(died, "posts", 1, "loader"))
    assert await details(quality, "told") == [("loader", "it died", [])]
    assert (await progress(quality, "told"))["loader"][:2] == (1, 1)


async def test_two_ledgers_that_record_a_redrive_at_once_count_it_once(
    postgres_dsn: str, quality: Quality
) -> None:
    async with open_quality(postgres_dsn, quality.catalog) as other:
        for attempt in range(20):
            died, alive = two(f"both-{attempt}", frozenset({"loader"})), two(f"both-{attempt}")
            await quality.handle(*died.events())
            await asyncio.gather(quality.handle(*later(alive)), other.handle(*later(alive)))
            assert (await progress(quality, alive.run_id))["loader"][:2] == (2, 0)


async def test_the_listing_follows_and_the_completion_does_not_come_again(quality: Quality) -> None:
    died, alive = two("followed", frozenset({"converter"})), two("followed")
    await quality.handle(*died.events())
    record = quality.drained_record("followed")
    completed = await quality.complete("followed")
    assert completed.status == "partial"
    before = await quality.listing("followed")
    published = len(quality.published)
    await quality.handle(*later(alive))
    assert await quality.listing("followed") == before, "a loop writes it"
    assert await quality.listings.catch_up() == 1
    assert await quality.listings.catch_up() == 0
    after = await quality.listing("followed")
    assert after is not None
    assert before is not None
    assert len(after["datasets"]["posts"]["exports"]) == 4  # type: ignore[index]  # JSON
    assert len(before["datasets"]["posts"]["exports"]) == 2  # type: ignore[index]  # JSON
    assert {**after, "datasets": None} == {**before, "datasets": None}
    assert len(quality.published) == published
    assert not await quality.handlers.on_run_drained(record)
    [row] = await quality.pool.fetch("SELECT status, completed FROM onpoint_runs.v_runs")
    assert (row["status"], json.loads(row["completed"])) == ("partial", completed.model_dump(mode="json"))


async def test_a_listing_is_rewritten_by_the_next_process_if_one_is_killed_on_the_way(
    quality: Quality, monkeypatch: pytest.MonkeyPatch
) -> None:
    died, alive = two("cut", frozenset({"processor"})), two("cut")
    await quality.handle(*died.events())
    await quality.complete("cut")
    *first, stored = later(alive)
    await quality.handle(*first)
    await quality.listings.catch_up()
    with monkeypatch.context() as patch:
        patch.setattr(crashpoints, "reach", cut_off_at("quality.recorded"))
        with pytest.raises(CutOffError):
            await quality.handle(stored)
    with monkeypatch.context() as patch:
        patch.setattr(crashpoints, "reach", cut_off_at("quality.relisted"))
        with pytest.raises(CutOffError):
            await quality.listings.catch_up()
    assert await quality.listings.catch_up() == 1
    assert await quality.listings.catch_up() == 0


async def test_a_writer_that_was_paused_does_not_leave_an_old_listing_behind(quality: Quality) -> None:
    died, alive = two("paused", frozenset({"converter", "s3sink"})), two("paused")
    await quality.handle(*died.events())
    completed = await quality.complete("paused")
    old = await quality.listing("paused")
    listings = quality.listings
    seen = await listings.write(completed)
    await quality.handle(*later(alive))
    await listings.catch_up()
    new = await quality.listing("paused")
    assert new != old
    # The paused writer puts the listing that it had, and then records it as written.
    await quality.lake.put("_runs/paused.json", json.dumps(old).encode())
    await listings.written("paused", seen)
    assert await listings.catch_up() == 1
    assert await quality.listing("paused") == new
    assert await listings.catch_up() == 0


async def test_a_batch_redriven_between_draining_and_verdict_is_waited_for(quality: Quality) -> None:
    """A batch with half of its results is not lost: a verdict at that moment would find mismatches."""
    died, alive = two("between", frozenset({"processor"})), two("between")
    await quality.handle(*died.events())
    record = quality.drained_record("between")
    crawled, processed, *others = later(alive)
    await quality.handle(crawled, processed)
    assert not await quality.handlers.on_run_drained(record)
    assert await quality.listing("between") is None
    for event in others:
        await quality.pool.execute("UPDATE onpoint_runs.runs SET drained_at = drained_at - interval '3 s'")
        await quality.handlers.ledger.publish_unpublished()
        assert not await quality.handlers.on_run_drained(
            quality.record(quality.published_to(topics.RUN_DRAINED, "between")[-1])
        )
        await quality.handle(event)
    await quality.pool.execute("UPDATE onpoint_runs.runs SET drained_at = drained_at - interval '3 s'")
    await quality.handlers.ledger.publish_unpublished()
    [answer] = await quality.handlers.on_run_drained(
        quality.record(quality.published_to(topics.RUN_DRAINED, "between")[-1])
    )
    assert answer.topic == topics.RUN_COMPLETED
    check_row_accounting(alive, answer.event)  # type: ignore[arg-type]  # a RunCompleted by its topic


async def test_a_death_that_only_its_key_told_is_undone_too(quality: Quality) -> None:
    died, alive = two("by-key", frozenset({"loader"})), two("by-key")
    await quality.handle(*(event for event in died.events() if event != died.result("posts", 1, "loader")))
    await quality.handle(undecodable(died, "posts", 1, "loader"))
    check_row_accounting(died, await quality.complete("by-key"))
    await quality.handle(alive.result("posts", 1, "loader"))
    assert (await progress(quality, "by-key"))["loader"][:2] == (2, 0)


async def test_a_result_of_another_run_with_the_same_batch_id_redrives_nothing(quality: Quality) -> None:
    """Ids are derived, so this is a forgery; the row's own run is asked all the same."""
    died = two("owner", frozenset({"loader"}))
    await quality.handle(*died.events())
    await quality.pool.execute("UPDATE onpoint_runs.results SET run_id = 'other' WHERE stage = 'loader'")
    await quality.handle(two("owner").result("posts", 1, "loader"))
    assert await quality.pool.fetchval("SELECT count(*) FROM onpoint_runs.results WHERE status = 'dead'") == 1


async def test_the_view_of_results_shows_the_state_of_every_batch(quality: Quality) -> None:
    died = two("seen", frozenset({"loader"}))
    await quality.handle(*died.events())
    row = await quality.pool.fetchrow(
        "SELECT * FROM onpoint_runs.v_results WHERE stage = 'loader' AND sequence = 1"
    )
    assert row is not None
    assert row["recorded_at"] > REQUESTED_AT.replace(year=2020)
    assert {**row, "recorded_at": None} == {
        "batch_id": died.batch_id("posts", 1),
        "stage": "loader",
        "run_id": "seen",
        "dataset": "posts",
        "sequence": 1,
        "status": "dead",
        "reason": "handler",
        "rows_read": 51,
        "recorded_at": None,
    }
    await quality.handle(two("seen").result("posts", 1, "loader"))
    redriven = await quality.pool.fetchrow(
        "SELECT * FROM onpoint_runs.v_results WHERE stage = 'loader' AND sequence = 1"
    )
    assert redriven is not None
    assert (redriven["status"], redriven["reason"]) == ("done", None)
    assert redriven["recorded_at"] > row["recorded_at"]
