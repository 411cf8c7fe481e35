from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
import orjson
import pytest

from services.quality.adapters.combined_exports import CombinedExportRepository
from services.quality.adapters.completions import CompletionRepository
from services.quality.adapters.ledger import LedgerRepository
from services.quality.adapters.listings import ListingRepository
from services.quality.handlers import Handlers
from services.quality.service.checks import Checks
from services.quality.service.combinations import Combinations
from services.quality.service.completion import CompletionService
from services.quality.service.ledger import LedgerService
from services.quality.service.listings import Listings
from shared.bus.messages import Outgoing, Record
from shared.datasets.model import Dataset
from shared.events import topics
from shared.events.decode import encode
from shared.events.models import RunCompleted
from shared.stages.results import Batches
from shared.storage import keys
from shared.storage.object_store import ObjectStore, open_memory
from tests.support.datasets import datasets_of


def dataset(
    name: str, *, checks: Sequence[Mapping[str, object]] = (), max_rejected_ratio: float = 1.0
) -> Dataset:
    return Dataset.model_validate(
        {
            "name": name,
            "source": {
                "name": "source",
                "kind": "api",
                "base_url": "http://source",
                "path": "/",
                "pagination": {"kind": "none"},
            },
            "table": f"onpoint_{name}",
            "key": ["id"],
            "columns": [{"name": "id", "type": "int64"}, {"name": "title", "type": "string"}],
            "max_rejected_ratio": max_rejected_ratio,
            "checks": list(checks),
        }
    )


NAMES = ("posts", "users", "comments")


@dataclass
class Quality:
    """The service without its broker: records go in, what it publishes is recorded."""

    pool: asyncpg.Pool
    catalog: dict[str, Dataset]
    staging: ObjectStore
    lake: ObjectStore
    published: list[Outgoing] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.offset = 0
        completions = CompletionRepository(self.pool)
        self.listings = Listings(ListingRepository(self.pool), completions, self.lake)
        datasets = datasets_of(self.catalog, self.staging)
        combinations = Combinations(
            CombinedExportRepository(self.pool), Batches(self.staging, "converter"), datasets
        )
        self.handlers = Handlers(
            LedgerService(LedgerRepository(self.pool), self.staging, self._publish, combinations),
            CompletionService(completions, self.listings, Checks(self.pool), datasets, combinations),
            combinations,
        )

    async def _publish(self, outgoing: Sequence[Outgoing]) -> None:
        self.published += outgoing

    def record(self, event: Outgoing) -> Record:
        self.offset += 1
        return Record(
            topic=event.topic,
            partition=0,
            offset=self.offset,
            timestamp_ms=0,
            key=event.key.encode(),
            value=encode(event.event),
        )

    async def handle(self, *events: Outgoing) -> None:
        for event in events:
            assert not await self.handlers.on_ledger_event(self.record(event))

    def published_to(self, topic: str, run_id: str) -> list[Outgoing]:
        return [event for event in self.published if event.topic == topic and event.key == run_id]

    def drained_record(self, run_id: str) -> Record:
        [drained] = self.published_to(topics.RUN_DRAINED, run_id)
        return self.record(drained)

    async def complete(self, run_id: str) -> RunCompleted:
        [completed] = await self.handlers.on_run_drained(self.drained_record(run_id))
        assert completed.topic == topics.RUN_COMPLETED
        assert completed.key == run_id
        assert isinstance(completed.event, RunCompleted)
        return completed.event

    async def listing(self, run_id: str) -> dict[str, object] | None:
        found = await self.lake.get(keys.listing_key(run_id))
        return None if found is None else orjson.loads(found)


@asynccontextmanager
async def open_quality(dsn: str, catalog: dict[str, Dataset]) -> AsyncIterator[Quality]:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=4) as pool:
        yield Quality(pool, catalog, open_memory("staging"), open_memory("lake"))


@pytest.fixture
def catalog() -> dict[str, Dataset]:
    return {name: dataset(name) for name in NAMES}


@pytest.fixture
async def quality(postgres_dsn: str, catalog: dict[str, Dataset]) -> AsyncIterator[Quality]:
    async with open_quality(postgres_dsn, catalog) as quality:
        yield quality
