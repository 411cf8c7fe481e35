"""A plan is made beside the event loop's work."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest

from services.crawler.adapters.id_file import IdFile
from services.crawler.adapters.run_store import RunStore
from services.crawler.domain.fetching import Answer
from services.crawler.service.planner import Planner
from shared.datasets.model import ApiSource
from shared.events.models import CrawlRequest
from shared.storage.object_store import open_memory
from tests.support.crawler import dataset_of

T = TypeVar("T")
NOW = datetime(2026, 11, 24, tzinfo=UTC)
LISTED = {"kind": "ids", "list_path": "/top.json", "item_path": "/item/{id}.json"}


async def test_a_list_of_ids_is_cut_into_batches_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fetch(
        source: ApiSource,  # noqa: ARG001 - the port's
        url: str,
        parse: Callable[[bytes], T],
        folder: Path,  # noqa: ARG001 - the port's
    ) -> Answer[T]:
        return Answer(url, url, 200, {}, parse(b"[3,1,2]"), NOW)

    threads = []
    batches = IdFile.batches

    def watched(listed: IdFile, ids_per_batch: int) -> Iterator[bytes]:
        for batch in batches(listed, ids_per_batch):
            threads.append(threading.current_thread())
            yield batch

    monkeypatch.setattr(IdFile, "batches", watched)
    things = dataset_of("http://somewhere", LISTED)
    request = CrawlRequest(run_id="r", datasets=(things.name,), requested_at=NOW)
    plan = await Planner(fetch, RunStore(open_memory()), 50_000).make(request, things)
    assert (plan.rows, plan.ids_of(0)) == (3, [3, 1, 2])
    assert threads
    assert threading.current_thread() not in threads
