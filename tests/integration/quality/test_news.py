"""News from the ledger to the channel: once each, whoever is killed where."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from aiohttp import web

from services.quality.adapters.completions import CompletionRepository
from services.quality.adapters.news import NewsSources
from services.quality.service.news import NewsCollector, NewsSender
from shared import crashpoints
from shared.datasets.chain import ColumnsChain
from shared.datasets.column import Column
from shared.datasets.expectation import Expectation
from shared.datasets.model import Dataset
from shared.datasets.versions import ColumnsVersion
from shared.news.channels.open import open_channels
from shared.news.config import NewsConfig
from shared.news.outbox import Outbox
from tests.integration.quality.conftest import Quality
from tests.integration.quality.story import REQUESTED_AT, Batch, Story
from tests.support.datasets import datasets_of
from tests.support.news_receivers import WebReceiver, web_receiver
from tests.unit.shared.news.items import RUN_ENDED

pytestmark = pytest.mark.integration

CHECKED = [{"kind": "row_count", "min": 1000}]


class CutOffError(BaseException):
    """Stands for `kill -9`: nothing below may handle it."""


@pytest.fixture
async def receiver() -> AsyncIterator[WebReceiver]:
    async with web_receiver() as receiver:
        yield receiver


@pytest.fixture
def config(receiver: WebReceiver, monkeypatch: pytest.MonkeyPatch) -> NewsConfig:
    monkeypatch.setenv("HOOK_SECRET", "k" * 32)
    hook = {
        "kind": "webhook",
        "url": receiver.url,
        "secret": {"env": "HOOK_SECRET"},
        "allow_private": True,
    }
    return NewsConfig.model_validate({"channels": {"hook": hook}, "routes": [{"to": ["hook"]}]})


@pytest.fixture
def outbox(quality: Quality) -> Outbox:
    return Outbox(quality.pool)


def collector_of(
    quality: Quality, config: NewsConfig, catalog: Mapping[str, Dataset] | None = None
) -> NewsCollector:
    return NewsCollector(
        NewsSources(quality.pool),
        CompletionRepository(quality.pool),
        Outbox(quality.pool),
        config,
        lambda: quality.catalog if catalog is None else catalog,
        datasets_of(quality.catalog, quality.staging),
    )


def sender_of(quality: Quality, config: NewsConfig, **more: Any) -> NewsSender:
    return NewsSender("hook", open_channels(config)["hook"], Outbox(quality.pool), **more)


async def run(quality: Quality, run_id: str, rows: int = 100) -> None:
    await quality.handle(*Story(run_id, {"posts": (Batch(rows, clean=True),)}).events())
    await quality.complete(run_id)


async def send_all(sender: NewsSender) -> None:
    while await sender.send_next() is not None:
        pass


async def test_the_end_of_a_run_arrives_once(
    quality: Quality, config: NewsConfig, receiver: WebReceiver, outbox: Outbox
) -> None:
    await run(quality, "first")
    collector, sender = collector_of(quality, config), sender_of(quality, config)
    for _ in range(3):
        await collector.tell_completions()
        await send_all(sender)
    [request] = receiver.received
    assert request.document["data"]["run_id"] == "first"
    [row] = await outbox.rows()
    assert (row.state, row.tries, row.channel) == ("sent", 1, "hook")


async def test_rows_are_compared_with_the_last_run_that_had_the_dataset(
    quality: Quality, config: NewsConfig, receiver: WebReceiver
) -> None:
    await run(quality, "first", rows=80)
    await quality.pool.execute("UPDATE onpoint_runs.runs SET requested_at = requested_at - interval '1 day'")
    await run(quality, "second", rows=100)
    await collector_of(quality, config).tell_completions()
    await send_all(sender_of(quality, config))
    found = {r.document["data"]["run_id"]: r.document["data"]["rows"][0] for r in receiver.received}
    assert found["first"]["loaded_before"] is None
    assert (found["second"]["loaded"], found["second"]["loaded_before"]) == (100, 80)


async def test_checks_that_failed_are_told_with_their_values(
    quality: Quality, config: NewsConfig, receiver: WebReceiver
) -> None:
    posts = quality.catalog["posts"].model_dump(by_alias=True, exclude_unset=True)
    quality.catalog["posts"] = Dataset.model_validate(posts | {"checks": CHECKED})
    await run(quality, "short")
    await collector_of(quality, config).tell_completions()
    await send_all(sender_of(quality, config))
    by_kind = {request.document["type"]: request.document["data"] for request in receiver.received}
    assert by_kind["run_completed"]["status"] == "failed"
    [failed] = by_kind["check_failed"]["checks"]
    assert (failed["name"], failed["value"], failed["expected"]) == ("row_count", "100", "min 1000")


def version_of(run_id: str, number: int, *names: str) -> ColumnsVersion:
    return ColumnsVersion(
        version=number,
        dataset="posts",
        added=tuple(Column(name=name, type="int64") for name in names),
        run_id=run_id,
        batch_id="0a" * 16,
        made_at=REQUESTED_AT,
    )


async def test_a_new_version_of_columns_is_told_by_the_run_that_made_it(
    quality: Quality, config: NewsConfig, outbox: Outbox
) -> None:
    posts = quality.catalog["posts"].model_dump(by_alias=True, exclude_unset=True)
    quality.catalog["posts"] = Dataset.model_validate(posts | {"schema": {"new_columns": "evolve"}})
    chain = ColumnsChain(quality.staging)
    await chain.append(version_of("earlier", 2, "likes"))
    await chain.append(version_of("evolving", 3, "likes", "shares"))
    await run(quality, "evolving")
    await collector_of(quality, config).tell_completions()
    [changed] = [row for row in await outbox.rows() if row.kind == "columns_changed"]
    assert changed.title == "posts: its columns have version 3"
    while (delivery := await outbox.claim("hook", 60)) is not None:
        if delivery.item.kind == "columns_changed":
            assert delivery.item.text == "added: shares (int64)"
            return
    pytest.fail("it is in the outbox")


async def test_what_ended_before_news_began_is_no_news(
    quality: Quality, config: NewsConfig, outbox: Outbox
) -> None:
    await run(quality, "old")
    await quality.pool.execute("UPDATE onpoint_news.beginning SET at = clock_timestamp()")
    await run(quality, "new")
    await collector_of(quality, config).tell_completions()
    assert [row.title for row in await outbox.rows()] == ["run new succeeded"]


async def test_a_channel_that_comes_later_gets_what_happens_later(
    quality: Quality, config: NewsConfig, outbox: Outbox
) -> None:
    await run(quality, "before")
    await collector_of(quality, NewsConfig()).tell_completions()
    await run(quality, "after")
    await collector_of(quality, config).tell_completions()
    assert [row.title for row in await outbox.rows()] == ["run after succeeded"]


@pytest.mark.parametrize(("point", "requests"), [("news.claimed", 1), ("news.sent", 2)])
async def test_a_sender_that_is_killed_leaves_its_delivery_to_the_next_one(
    quality: Quality,
    config: NewsConfig,
    receiver: WebReceiver,
    outbox: Outbox,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    requests: int,
) -> None:
    def cut_off(reached: str) -> None:
        if reached == point:
            raise CutOffError(point)

    await run(quality, "killed")
    await collector_of(quality, config).tell_completions()
    with monkeypatch.context() as patch:
        patch.setattr(crashpoints, "reach", cut_off)
        with pytest.raises(CutOffError):
            await sender_of(quality, config).send_next()
    other = sender_of(quality, config)
    assert await other.send_next() is None, "the claim goes on"
    await quality.pool.execute("UPDATE onpoint_news.outbox SET claimed_until = clock_timestamp()")
    await send_all(other)
    assert len(receiver.received) == requests
    assert len({request.headers["webhook-id"] for request in receiver.received}) == 1
    [row] = await outbox.rows()
    assert (row.state, row.tries) == ("sent", 2)


async def test_many_senders_send_each_item_once(
    quality: Quality, config: NewsConfig, receiver: WebReceiver
) -> None:
    for number in range(12):
        await run(quality, f"run-{number}")
    collectors = [collector_of(quality, config) for _ in range(3)]
    await asyncio.gather(*(collector.tell_completions() for collector in collectors))
    receiver.delay_s = 0.02
    await asyncio.gather(*(send_all(sender_of(quality, config)) for _ in range(4)))
    ids = [request.headers["webhook-id"] for request in receiver.received]
    assert len(ids) == len(set(ids)) == 12


async def test_a_sender_that_lost_its_claim_does_not_tell_the_outcome(
    quality: Quality, config: NewsConfig, outbox: Outbox
) -> None:
    await run(quality, "slow")
    await collector_of(quality, config).tell_completions()
    slow = await outbox.claim("hook", 0.01)
    await asyncio.sleep(0.05)
    fast = await outbox.claim("hook", 60)
    assert slow is not None
    assert fast is not None
    assert fast.in_doubt
    assert not await outbox.sent(slow)
    assert await outbox.not_sent(slow, "late", in_doubt=True, again_in_s=None) is None
    assert await outbox.sent(fast)


async def test_an_orderly_stop_lets_a_try_end(
    quality: Quality, config: NewsConfig, receiver: WebReceiver, outbox: Outbox
) -> None:
    await run(quality, "stopped")
    await collector_of(quality, config).tell_completions()
    receiver.delay_s = 0.5
    sending = asyncio.create_task(sender_of(quality, config).send_next())
    await receiver.wait_for(1)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert [row.state for row in await outbox.rows()] == ["sent"]


async def test_a_channel_that_is_away_is_tried_again_with_growing_pauses(
    quality: Quality, config: NewsConfig, receiver: WebReceiver, outbox: Outbox
) -> None:
    for number in range(4):
        await run(quality, f"run-{number}")
    await collector_of(quality, config).tell_completions()
    receiver.answers = [web.Response(status=500) for _ in range(3)]
    sender = sender_of(quality, config, pauses_s=(0.01, 0.02, 0.04))
    pauses = [await sender.send_next() for _ in range(3)]
    assert pauses == [0.0, 0.0, 0.01], "after three failures in a row the channel has a pause"
    assert {row.state for row in await outbox.rows()} == {"pending"}
    await asyncio.sleep(0.1)
    await send_all(sender)
    assert {row.state for row in await outbox.rows()} == {"sent"}
    assert len(receiver.received) == 7


async def test_a_refusal_is_shown_and_waits_for_a_person(
    quality: Quality, config: NewsConfig, receiver: WebReceiver, outbox: Outbox
) -> None:
    await run(quality, "refused")
    await collector_of(quality, config).tell_completions()
    receiver.answers = [web.Response(status=404, text="no_service")]
    sender = sender_of(quality, config)
    await send_all(sender)
    [row] = await outbox.rows(state="failed")
    assert row.last_error == "the server answered 404: no_service"
    assert await outbox.counts() == {"hook": (0, 1)}
    assert await outbox.retry(channel="hook") == 1
    await send_all(sender)
    assert [row.state for row in await outbox.rows()] == ["sent"]
    assert await outbox.retry() == 0, "what was sent is not sent again"


async def test_what_could_not_be_sent_for_a_day_is_given_up(
    quality: Quality, config: NewsConfig, receiver: WebReceiver, outbox: Outbox
) -> None:
    await run(quality, "old")
    await collector_of(quality, config).tell_completions()
    await quality.pool.execute("UPDATE onpoint_news.outbox SET queued_at = queued_at - interval '25 hours'")
    receiver.answers = [web.Response(status=500)]
    await sender_of(quality, config).send_next()
    [row] = await outbox.rows()
    assert (row.state, row.last_error) == ("failed", "the server answered 500")


async def test_news_of_a_channel_that_is_gone_is_given_up_too(
    quality: Quality, config: NewsConfig, outbox: Outbox
) -> None:
    await run(quality, "old")
    collector = collector_of(quality, config)
    await collector.tell_completions()
    await quality.pool.execute("UPDATE onpoint_news.outbox SET queued_at = queued_at - interval '25 hours'")
    await collector.keep_house()
    [row] = await outbox.rows()
    assert row.state == "failed"
    assert "not in the file of the channels" in (row.last_error or "")


async def test_settled_news_is_forgotten_after_a_month_and_not_told_again(
    quality: Quality, config: NewsConfig, outbox: Outbox
) -> None:
    await run(quality, "old")
    collector = collector_of(quality, config)
    await collector.tell_completions()
    await send_all(sender_of(quality, config))
    await quality.pool.execute("UPDATE onpoint_news.items SET created_at = created_at - interval '31 days'")
    await quality.pool.execute(
        "UPDATE onpoint_runs.completions SET completed_at = completed_at - interval '31 days'"
    )
    await collector.keep_house()
    await collector.tell_completions()
    assert await outbox.rows() == []


async def test_a_run_that_does_not_come_is_overdue_once(
    quality: Quality, config: NewsConfig, receiver: WebReceiver
) -> None:
    await run(quality, "last")
    posts = quality.catalog["posts"].model_copy(update={"expect": Expectation(every="24h", within="2h")})
    collector = collector_of(quality, config, {"posts": posts, "users": quality.catalog["users"]})
    await quality.pool.execute(
        "UPDATE onpoint_runs.runs SET requested_at = clock_timestamp() - interval '25 hours'"
    )
    await collector.tell_overdue()
    await quality.pool.execute("UPDATE onpoint_news.expectations SET since = since - interval '10 days'")
    await collector.tell_overdue()
    await send_all(sender_of(quality, config))
    assert receiver.received == []
    await quality.pool.execute(
        "UPDATE onpoint_runs.runs SET requested_at = clock_timestamp() - interval '27 hours'"
    )
    for _ in range(2):
        await collector.tell_overdue()
    await send_all(sender_of(quality, config))
    [request] = receiver.received
    data = request.document["data"]
    assert (request.document["type"], data["datasets"], data["facts"]["Missed"]) == (
        "run_overdue",
        ["posts"],
        "1",
    )
    assert data["facts"]["Last run"].startswith("run last, requested")


async def test_a_run_that_never_came_is_overdue_from_when_it_became_expected(
    quality: Quality, config: NewsConfig, outbox: Outbox
) -> None:
    posts = quality.catalog["posts"].model_copy(update={"expect": Expectation(every="24h", within="2h")})
    collector = collector_of(quality, config, {"posts": posts})
    await collector.tell_overdue()
    assert await outbox.rows() == []
    await quality.pool.execute(
        "UPDATE onpoint_news.expectations SET since = since - $1::interval", timedelta(hours=27)
    )
    await collector.tell_overdue()
    assert [row.title for row in await outbox.rows()] == ["posts: a run is overdue"]


async def test_an_error_that_none_thought_of_does_not_end_the_sender(
    quality: Quality, config: NewsConfig, outbox: Outbox
) -> None:
    class Broken:
        async def send(self, _delivery: object) -> NoReturn:
            raise ZeroDivisionError

    await run(quality, "first")
    await collector_of(quality, config).tell_completions()
    sender = NewsSender("hook", Broken(), outbox)
    await sender.send_next()
    [row] = await outbox.rows()
    assert (row.state, row.last_error, row.in_doubt) == ("pending", "unexpected: ZeroDivisionError", True)


async def test_a_nul_in_a_text_is_no_obstacle(outbox: Outbox) -> None:
    assert await outbox.add(RUN_ENDED.model_copy(update={"text": "a\x00b"}), ["hook"])
    delivery = await outbox.claim("hook", 60)
    assert delivery is not None
    assert delivery.item.text == "a\ufffdb"
