"""The crawler without Kafka: its handlers, driven until no unit is left, over a store in memory."""

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import zstandard

from services.crawler.adapters.checkpoints import Checkpoints
from services.crawler.adapters.marks import Marks
from services.crawler.adapters.parent_rows import ParentRows
from services.crawler.adapters.run_store import RunStore
from services.crawler.adapters.stored_results import StoredResults
from services.crawler.domain.fetching import RetryPolicy
from services.crawler.handlers import Handlers
from services.crawler.http.address_guard import AllowedHosts
from services.crawler.http.api_client import ApiClient
from services.crawler.http.client import SourceClient
from services.crawler.http.credentials import Credentials
from services.crawler.http.rate_limit import SourceThrottle
from services.crawler.http.transport import HttpTransport
from services.crawler.service.api_planner import ApiPlanner
from services.crawler.service.batch_crawl import BatchCrawl
from services.crawler.service.crawler import CrawlerService
from services.crawler.service.datasets import CrawlDatasets
from services.crawler.service.family import Family
from services.crawler.service.planner import Planner
from services.crawler.service.replays import Replays
from services.crawler.service.run_marks import RunMarks
from shared.bus.messages import FailureOutcome, Outgoing, Record
from shared.datasets.catalog import Catalog, load_catalog
from shared.datasets.model import ApiSource, Dataset
from shared.datasets.sources.secret_values import SecretValues
from shared.errors import PermanentError
from shared.events import topics
from shared.events.decode import encode
from shared.events.models import Artifact, BatchManifest, CrawlBatchRequested, CrawlPlanned
from shared.stages.results import Batches
from shared.storage.object_store import ObjectStore, open_memory
from tests.support.datasets import datasets_of

APPENDED_MS = 1_795_500_000_123
APPENDED_AT = datetime.fromtimestamp(APPENDED_MS / 1000, UTC)
QUICK = RetryPolicy(base_s=0.001, cap_s=0.002)

POSTS = [{"userId": 1, "id": n, "title": f"title {n}", "body": "a\nb"} for n in range(1, 251)]
STORIES = [{"id": 1000 + n, "type": "story", "title": f"story {n}"} for n in range(20)]


def things(count: int) -> list[dict[str, int]]:
    return [{"id": n} for n in range(count)]


@dataclass
class Crawler:
    """`run` is what a user does; `events` are in the order of their publication."""

    handlers: Handlers
    staging: ObjectStore
    events: list[Outgoing] = field(default_factory=list)
    dead_letters: list[Record] = field(default_factory=list)
    offset: int = 0

    async def ask(self, value: Any) -> list[Outgoing]:
        """The events that a request for a run gives; no unit is handled."""
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.offset += 1
        record = Record(topics.CRAWL_REQUESTED, 0, self.offset, APPENDED_MS, None, raw)
        return list(await self.handlers.on_crawl_requested(record))

    async def run(self, value: Any) -> None:
        """A request, and every unit that follows from it."""
        await self.drive(await self.ask(value))

    async def drive(self, waiting: list[Outgoing]) -> None:
        waiting = list(waiting)
        while waiting:
            event = waiting.pop(0)
            self.events.append(event)
            if event.topic == topics.CRAWL_BATCH_REQUESTED:
                waiting.extend(await self.handle(event))

    async def handle(self, event: Outgoing) -> list[Outgoing]:
        """As the subscription does it: a permanent error marks the record failed, and publishes the result."""
        record = self.record(event)
        try:
            return list(await self.handlers.on_batch_requested(record))
        except PermanentError as error:
            outcome: FailureOutcome = await self.handlers.mark_failed(record, error)
            if outcome.dead:
                self.dead_letters.append(record)
            return list(outcome.events)

    def record(self, event: Outgoing) -> Record:
        return Record(event.topic, 0, 0, APPENDED_MS, event.key.encode(), encode(event.event))

    @property
    def planned(self) -> list[CrawlPlanned]:
        return [event.event for event in self.events if isinstance(event.event, CrawlPlanned)]

    @property
    def batches(self) -> list[BatchManifest]:
        return [event.event for event in self.events if isinstance(event.event, BatchManifest)]

    @property
    def units(self) -> list[CrawlBatchRequested]:
        return [event.event for event in self.events if isinstance(event.event, CrawlBatchRequested)]

    async def content(self, artifact: Artifact) -> list[Any]:
        """The JSON values of an artifact's lines."""
        return [json.loads(line) for line in await self.lines(artifact)]

    async def lines(self, artifact: Artifact) -> list[bytes]:
        return await lines_of(self.staging, artifact)

    async def rows(self, manifest: BatchManifest) -> list[Any]:
        return await self.content(manifest.artifacts[0])

    async def requests(self, manifest: BatchManifest) -> list[Any]:
        return await self.content(manifest.artifacts[-1])


async def only_batch(crawler: Crawler) -> BatchManifest:
    [manifest] = crawler.batches
    return manifest


def essence(events: list[Outgoing]) -> list[tuple[str, str, Any]]:
    """An event's fields, without the moment it was made."""
    return [(e.topic, e.key, e.event.model_dump(exclude={"produced_at"})) for e in events]


async def lines_of(staging: ObjectStore, artifact: Artifact) -> list[bytes]:
    """The lines of an artifact, which must match its manifest."""
    stored = await staging.get(staging.key(artifact.uri, ""))
    assert stored is not None
    assert len(stored) == artifact.bytes > 0
    assert hashlib.sha256(stored).hexdigest() == artifact.sha256
    with zstandard.ZstdDecompressor().stream_reader(stored, read_across_frames=True) as reader:
        text = reader.read()
    lines = text.split(b"\n")
    assert lines.pop() == b"", "every line ends"
    assert len(lines) == artifact.rows
    return lines


def environment_for(url: str) -> dict[str, str]:
    """Points the built-in datasets at a local source, without a rate limit."""
    settings = {"URL": url, "REQUESTS_PER_SECOND": "0"}
    return {
        f"ONPOINT_SOURCE_{name}_{setting}": value
        for name in ("JSONPLACEHOLDER", "HACKERNEWS")
        for setting, value in settings.items()
    }


@asynccontextmanager
async def crawler_of(
    url: str,
    *,
    allow: str,
    datasets: Mapping[str, Dataset] | None = None,
    staging: ObjectStore | None = None,
    policy: RetryPolicy = QUICK,
    batch_rows: int = 50_000,
    timeout_s: float = 10,
    read_timeout_s: float = 0.5,
    variables: Mapping[str, str] = MappingProxyType({}),
    secret_folders: tuple[Path, ...] = (),
) -> AsyncIterator[Crawler]:
    """A crawler whose built-in datasets are at `url`; `datasets` replaces all of them."""
    catalog = load_catalog(environment=environment_for(url)) if datasets is None else datasets
    store = staging or open_memory()
    transport = HttpTransport(
        allowed=AllowedHosts.parse(allow),
        user_agent="OnPoint/test (+tests)",
        timeout_s=timeout_s,
        policy=policy,
        read_timeout_s=read_timeout_s,
    )
    async with transport:
        fetch = SourceClient(
            transport, SourceThrottle(dataset.source for dataset in catalog.values()), policy
        )
        files = Catalog(catalog)
        runs = RunStore(store)
        marks, results = Marks(store), StoredResults(store)
        secrets = SecretValues(secret_folders, variables)
        client = ApiClient(transport, SourceThrottle(), Credentials(transport, secrets), policy)
        api = ApiPlanner(client, runs, marks, ParentRows(store, results), dict(variables).get)
        batches = Batches(store, "crawler")
        described = CrawlDatasets(lambda: files, datasets_of(files, store))
        service = CrawlerService(
            described,
            runs,
            batches,
            Planner(fetch, runs, batch_rows, api),
            BatchCrawl(
                described, batches, runs, fetch, Checkpoints(store), batch_rows=batch_rows, api=client
            ),
            Replays(runs, results),
            Family(described, runs, results),
        )
        yield Crawler(Handlers(service, RunMarks(described, runs, results, marks)), store)


def dataset_of(url: str, pagination: Mapping[str, Any], **source: Any) -> Dataset:
    """A dataset `things` at `/things` of the source."""
    return Dataset.model_validate(
        {
            "name": "things",
            "source": {
                "name": "local",
                "kind": "api",
                "base_url": url,
                "path": "/things",
                "pagination": pagination,
                "requests_per_second": 0,
                **source,
            },
            "table": "onpoint_things",
            "key": ["id"],
            "columns": [{"name": "id", "type": "int64"}],
        }
    )


def source_of(url: str, pagination: Mapping[str, Any], **source: Any) -> ApiSource:
    """That of `dataset_of`."""
    found = dataset_of(url, pagination, **source).source
    assert isinstance(found, ApiSource)
    return found


PAGES = {
    "kind": "page",
    "page_param": "_page",
    "size_param": "_limit",
    "size": 10,
    "total_header": "X-Total-Count",
    "first": 1,
}
"""A pagination for `dataset_of`."""
