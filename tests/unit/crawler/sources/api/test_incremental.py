"""What is new since the last complete run: windows, bounds, marks that only complete runs write."""

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.bus.messages import Record
from shared.events import topics
from shared.events.decode import encode
from shared.events.models import DatasetSummary, RunCompleted, RunStatus
from tests.support.api_datasets import api_dataset
from tests.support.api_server import ApiServer, Asked
from tests.support.crawler import APPENDED_AT, APPENDED_MS, Crawler, crawler_of

ROWS: list[dict[str, Any]] = [{"id": day, "changed": f"2026-11-{day:02}T00:00:00Z"} for day in range(1, 21)]
REQUEST = {"path": "/rows", "query": {"from": "{window.from}", "to": "{window.to:rfc3339}"}}


def rows(asked: Asked) -> Any:
    return [row for row in ROWS if asked.query.get("from", "") <= row["changed"] < asked.query["to"]]


def incremental(url: str, request: Any = REQUEST, **options: Any) -> Any:
    return {
        "things": api_dataset(
            url, request=request, incremental={"field": "changed", "start": "2026-11-01", **options}
        )
    }


async def complete(crawler: Crawler, status: RunStatus = "succeeded") -> None:
    """The run ends, as quality says it."""
    run_id = crawler.planned[-1].run_id
    value = RunCompleted(
        run_id=run_id,
        status=status,
        reason=None,
        requested_at=APPENDED_AT,
        started_at=APPENDED_AT,
        finished_at=APPENDED_AT,
        datasets={"things": DatasetSummary()},
    )
    record = Record(topics.RUN_COMPLETED, 0, 1, APPENDED_MS, run_id.encode(), encode(value))
    await crawler.handlers.on_run_completed(record)
    await crawler.handlers.on_run_completed(record)


async def later_run(crawler: Crawler, **parameters: Any) -> None:
    """A request an hour after the others."""
    value = {"datasets": ["things"], "parameters": {"things": parameters}}
    derived = f"later-{crawler.offset}"
    crawler.offset += 1
    at = datetime.fromtimestamp(APPENDED_MS / 1000 + 3600, UTC)
    await crawler.drive(await crawler.handlers.service.accept(value, derived, at))


def windows(api: ApiServer) -> list[tuple[str, str]]:
    return [(asked.query["from"][:10], asked.query["to"][:10]) for asked in api.seen]


async def test_windows_are_aligned_to_the_start_and_half_open() -> None:
    async with ApiServer(rows) as api:
        datasets = incremental(api.url, window="7d")
        async with crawler_of(api.url, allow=api.allow, datasets=datasets) as crawler:
            await crawler.run({"datasets": ["things"]})
            found = [row["id"] for batch in crawler.batches for row in await crawler.rows(batch)]
    assert sorted(found) == list(range(1, 21))
    assert windows(api)[:2] == [("2026-11-01", "2026-11-08"), ("2026-11-08", "2026-11-15")]
    assert windows(api)[-1][1] == APPENDED_AT.date().isoformat()


async def test_the_next_run_begins_at_the_mark_less_the_lookback() -> None:
    async with ApiServer(rows) as api:
        datasets = incremental(api.url, lookback="2d")
        async with crawler_of(api.url, allow=api.allow, datasets=datasets) as crawler:
            await crawler.run({"datasets": ["things"]})
            await complete(crawler)
            await later_run(crawler)
    assert [start for start, _ in windows(api)] == ["2026-11-01", "2026-11-18"]


@pytest.mark.parametrize("status", ["failed", "partial", "cancelled"])
async def test_a_run_that_is_not_whole_moves_no_mark(status: RunStatus) -> None:
    async with (
        ApiServer(rows) as api,
        crawler_of(api.url, allow=api.allow, datasets=incremental(api.url)) as crawler,
    ):
        await crawler.run({"datasets": ["things"]})
        await complete(crawler, status)
        await later_run(crawler)
    assert [start for start, _ in windows(api)] == ["2026-11-01", "2026-11-01"]


async def test_a_run_with_bounds_of_its_own_asks_for_them_and_leaves_no_mark() -> None:
    async with (
        ApiServer(rows) as api,
        crawler_of(api.url, allow=api.allow, datasets=incremental(api.url)) as crawler,
    ):
        await crawler.run(
            {"datasets": ["things"], "parameters": {"things": {"since": "2026-11-05", "until": "2026-11-07"}}}
        )
        await complete(crawler)
        await later_run(crawler)
    assert windows(api)[0] == ("2026-11-05", "2026-11-07")
    assert windows(api)[1][0] == "2026-11-01"


async def test_full_begins_at_the_start_whatever_is_known() -> None:
    async with (
        ApiServer(rows) as api,
        crawler_of(api.url, allow=api.allow, datasets=incremental(api.url)) as crawler,
    ):
        await crawler.run({"datasets": ["things"]})
        await complete(crawler)
        await later_run(crawler, full=True)
    assert [start for start, _ in windows(api)] == ["2026-11-01", "2026-11-01"]


async def test_young_records_are_left_to_the_next_run() -> None:
    async with ApiServer(rows) as api:
        datasets = incremental(api.url, settle="1d", step="1s")
        async with crawler_of(api.url, allow=api.allow, datasets=datasets) as crawler:
            await crawler.run({"datasets": ["things"]})
    until = datetime.fromisoformat(api.seen[0].query["to"])
    assert (APPENDED_AT - until).total_seconds() == 86_401


async def test_a_token_of_the_last_answer_is_where_the_next_run_begins() -> None:
    def answer(_: Asked) -> Any:
        return {"data": [{"id": 1}], "delta": f"{api.url}/rows?token=next"}

    async with ApiServer(answer) as api:
        datasets = {
            "things": api_dataset(
                api.url,
                request={"path": "/rows"},
                records={"path": "data"},
                pagination={"kind": "link", "next": {"path": "nextLink"}},
                incremental={"token": {"path": "delta"}},
            )
        }
        async with crawler_of(api.url, allow=api.allow, datasets=datasets) as crawler:
            await crawler.run({"datasets": ["things"]})
            await complete(crawler)
            await later_run(crawler)
    assert api.targets() == ["/rows", "/rows?token=next"]


async def test_a_number_that_grows_is_a_mark_too() -> None:
    def answer(asked: Asked) -> Any:
        return [{"id": number} for number in range(int(asked.query.get("after", 0)), 8)]

    async with ApiServer(answer) as api:
        datasets = {
            "things": api_dataset(
                api.url,
                request={"path": "/rows", "query": {"after": "{since}"}},
                incremental={"field": "id", "format": "integer"},
            )
        }
        async with crawler_of(api.url, allow=api.allow, datasets=datasets) as crawler:
            await crawler.run({"datasets": ["things"]})
            await complete(crawler)
            await later_run(crawler)
    assert api.targets() == ["/rows", "/rows?after=7"]


async def test_windows_that_are_too_many_are_no_plan() -> None:
    async with ApiServer(rows) as api:
        datasets = incremental(api.url, window="1s")
        async with crawler_of(api.url, allow=api.allow, datasets=datasets) as crawler:
            await crawler.run({"datasets": ["things"]})
            [batch] = crawler.batches
    assert (batch.status, batch.reason) == ("dead", "too_large")
    assert api.seen == []
