"""A batch of a slow source ends in time, and the same record goes on from what it has."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
import zstandard

from services.crawler.sources import batch_fetcher
from shared.bus.subscriptions import WORST_HANDLER_S
from shared.events.models import BatchManifest, CrawlBatchRequested
from shared.storage import keys
from tests.support import source as faults
from tests.support.crawler import PAGES, Crawler, crawler_of, dataset_of, things
from tests.support.source import SourceServer

COUNT = 40
DELAY_S = 0.05
SHORT_S = 0.15
LONG_S = 60.0
IDS = {"kind": "ids", "list_path": "/ids", "item_path": "/item/{id}"}
SHAPES: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "ids": (IDS, {}),
    "pages": ({**PAGES, "size": 2}, {"things": {"limit": COUNT}}),
    "open pages": ({**PAGES, "size": 2}, {}),
    "chain": ({**PAGES, "size": 2, "total_header": None}, {}),
}


def a_source(broken: Mapping[int, faults.Fault] | None = None) -> SourceServer:
    """Every answer is slow; `broken` items have another one."""
    source = SourceServer({"things": things(COUNT)}, delay_s=DELAY_S)
    source.fail("/ids", faults.records(list(range(COUNT))))
    for number in range(COUNT):
        source.fail(f"/item/{number}", (broken or {}).get(number, faults.body(b'{"id": %d}' % number)))
    return source


async def crawl(source: SourceServer, shape: str) -> Crawler:
    pagination, parameters = SHAPES[shape]
    datasets = {"things": dataset_of(source.url, pagination, concurrency=1)}
    async with crawler_of(source.url, allow=source.allow, datasets=datasets) as crawler:
        await crawler.run({"run_id": "r", "datasets": ["things"], "parameters": parameters})
        return crawler


async def raw_of(crawler: Crawler, manifest: BatchManifest) -> bytes:
    stored = await crawler.staging.get(crawler.staging.key(manifest.artifacts[0].uri, ""))
    assert stored is not None
    with zstandard.ZstdDecompressor().stream_reader(stored, read_across_frames=True) as reader:
        return reader.read()


def asked_again(crawler: Crawler) -> list[CrawlBatchRequested]:
    """Units that were published again, once for each repetition."""
    return [unit for place, unit in enumerate(crawler.units) if unit in crawler.units[:place]]


def test_a_batch_ends_before_a_rebalance_gives_its_record_to_another_worker() -> None:
    assert batch_fetcher.BATCH_S + batch_fetcher.LAST_REQUEST_S < 0.9 * WORST_HANDLER_S


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_batch_whose_time_is_over_goes_on_and_gives_the_same(
    monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    contents, batches = [], []
    for seconds in (LONG_S, SHORT_S):
        monkeypatch.setattr(batch_fetcher, "BATCH_S", seconds)
        async with a_source() as source:
            crawler = await crawl(source, shape)
        assert {batch.status for batch in crawler.batches} == {"done"}
        assert sum(batch.counts.read for batch in crawler.batches) == COUNT
        assert [page for batch in crawler.batches for page in batch.missing] == []
        [planned] = crawler.planned
        assert planned.batches == len(crawler.batches)
        contents.append(b"".join([await raw_of(crawler, batch) for batch in crawler.batches]))
        batches.append(len(crawler.batches))
    assert contents[0] == contents[1]
    if shape == "chain":
        assert batches[1] > batches[0], "it ends at a cursor"
    else:
        assert asked_again(crawler)


async def test_the_ids_of_planned_batches_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_fetcher, "BATCH_S", SHORT_S)
    async with a_source() as source:
        crawler = await crawl(source, "ids")
    [batch] = crawler.batches
    assert {unit.batch_id for unit in asked_again(crawler)} == {batch.batch_id}


async def test_a_request_that_takes_longer_than_a_batch_may_is_a_failed_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_fetcher, "BATCH_S", SHORT_S)
    monkeypatch.setattr(batch_fetcher, "LAST_REQUEST_S", 0.2)
    async with a_source({3: faults.hang()}) as source:
        crawler = await crawl(source, "ids")
    [batch] = crawler.batches
    assert (batch.status, batch.counts.read, batch.counts.rejected) == ("done", COUNT, 1)
    [failed] = [line for line in (await log_of(crawler, batch)) if line["reason"] == "fetch"]
    assert failed["detail"].startswith("no answer within")


async def test_a_checkpoint_that_cannot_be_read_costs_the_work_again_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_fetcher, "BATCH_S", SHORT_S)
    async with a_source() as source:
        datasets = {"things": dataset_of(source.url, IDS, concurrency=1)}
        async with crawler_of(source.url, allow=source.allow, datasets=datasets) as crawler:
            [plan] = await crawler.ask({"run_id": "r", "datasets": ["things"]})
            [_planned, unit] = await crawler.handle(plan)
            [again] = await crawler.handle(unit)
            assert again == unit
            batch_id = unit.key
            await crawler.staging.put(keys.checkpoint_key("r", "things", batch_id), b"{}")
            await crawler.drive([again])
    [batch] = crawler.batches
    assert (batch.counts.read, batch.counts.rejected) == (COUNT, 0)


async def test_tries_of_a_source_that_is_down_end_across_checkpoints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_fetcher, "BATCH_S", SHORT_S)
    monkeypatch.setattr(batch_fetcher, "PATIENCE_S", 2 * SHORT_S)
    async with a_source(dict.fromkeys(range(COUNT), faults.status(404))) as source:
        crawler = await crawl(source, "ids")
    [batch] = crawler.batches
    assert (batch.status, batch.counts.read) == ("dead", COUNT)
    assert "not asked" in (batch.detail or "")


async def test_a_dead_batch_that_is_redriven_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_fetcher, "BATCH_S", SHORT_S)
    monkeypatch.setattr(batch_fetcher, "PATIENCE_S", SHORT_S)
    async with a_source(dict.fromkeys(range(COUNT), faults.status(404))) as source:
        datasets = {"things": dataset_of(source.url, IDS, concurrency=1)}
        async with crawler_of(source.url, allow=source.allow, datasets=datasets) as crawler:
            await crawler.run({"run_id": "r", "datasets": ["things"]})
            [dead] = crawler.dead_letters
            source.heal()
            source.fail("/ids", faults.records(list(range(COUNT))))
            for number in range(COUNT):
                source.fail(f"/item/{number}", faults.body(b'{"id": %d}' % number))
            await crawler.handlers.redrive(dead)
            await crawler.drive(list(await crawler.handlers.on_batch_requested(dead)))
    batch = crawler.batches[-1]
    assert (batch.status, batch.counts.read, batch.counts.rejected) == ("done", COUNT, 0)


async def test_a_page_without_an_array_is_missing_where_its_batch_ends_before_the_next_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_fetcher, "BATCH_S", 0.3)
    monkeypatch.setattr(batch_fetcher, "LAST_REQUEST_S", 0.3)
    source = SourceServer({"things": things(60)}, delay_s=0.01, total_header=None, links=False)
    source.fail("/things?_page=3&_limit=10", faults.null())
    source.fail("/things?_page=4&_limit=10", faults.hang(), times=1)
    async with source:
        datasets = {"things": dataset_of(source.url, {**PAGES, "total_header": None}, concurrency=1)}
        async with crawler_of(
            source.url, allow=source.allow, datasets=datasets, read_timeout_s=30, timeout_s=30
        ) as crawler:
            await crawler.run({"run_id": "r", "datasets": ["things"]})
    assert sum(batch.counts.read for batch in crawler.batches) == 50
    assert [page.url[-17:] for batch in crawler.batches for page in batch.missing] == ["_page=3&_limit=10"]


async def log_of(crawler: Crawler, manifest: BatchManifest) -> list[dict[str, Any]]:
    stored = await crawler.staging.get(crawler.staging.key(manifest.artifacts[-1].uri, ""))
    assert stored is not None
    with zstandard.ZstdDecompressor().stream_reader(stored, read_across_frames=True) as reader:
        return [orjson.loads(line) for line in reader.read().splitlines()]
