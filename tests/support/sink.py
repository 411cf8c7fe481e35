"""A replica of the s3sink on a real database, driven step by step."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pyarrow as pa
import pyarrow.parquet as pq
from aiokafka.errors import KafkaConnectionError

from services.s3sink.adapters.repository import SinkRepository
from services.s3sink.adapters.table_commits import TableCommits
from services.s3sink.adapters.writer import ObjectWriter
from services.s3sink.domain import Limits
from services.s3sink.handlers import Handlers
from services.s3sink.service import SinkService
from services.s3sink.workers.object_writer import SinkLoop
from shared.bus.messages import FailureOutcome, Outgoing, Publish, Record
from shared.datasets.model import Dataset
from shared.errors import PermanentError
from shared.events import topics
from shared.events.ids import batch_id
from shared.events.models import BatchManifest, RunSealed
from shared.lake.tables.open import LakeTables
from shared.lake.tables.settings import TableSettings
from shared.settings.object_store import ObjectStoreSettings
from shared.stages.results import Batches
from shared.storage.object_store import ObjectStore
from tests.support.datasets import datasets_of
from tests.support.processed import REQUESTED_AT, a_dataset, put_processed, record_of

LIMITS = Limits(target_bytes=64 * 2**20, most_bytes=128 * 2**20, age_s=60, target_rows=500_000)
POSTS = a_dataset({"id": "int64", "title": "string"}, key=["id"], name="posts")


def no_tables(lake: ObjectStore) -> LakeTables:
    """Where no dataset asks for a table format."""
    storage = ObjectStoreSettings(staging_bucket="staging", lake_bucket=lake.name)
    return LakeTables(storage, lake, TableSettings(), "postgresql://127.0.0.1/none")


@dataclass
class Sink:
    """One replica, and what it published."""

    pool: asyncpg.Pool
    staging: ObjectStore
    lake: ObjectStore
    limits: Limits = LIMITS
    dataset: Dataset = POSTS
    published: list[Outgoing] = field(default_factory=list)
    dead_letters: list[tuple[Record, PermanentError]] = field(default_factory=list)
    refuses_dead_letters: bool = False
    tables: LakeTables | None = None
    """Absent: datasets without a table format."""

    def __post_init__(self) -> None:
        self.rebuild()

    def rebuild(self, *, limits: Limits | None = None, publish: Publish | None = None) -> None:
        """As after a restart, with other limits or another broker."""
        self.limits = limits or self.limits
        datasets = datasets_of({"posts": self.dataset})
        self.woken = asyncio.Event()
        self.repository = SinkRepository(self.pool, self.limits)
        batches = Batches(self.staging, "s3sink")
        self.service = SinkService(batches, self.repository, datasets, self.woken.set)
        self.handlers = Handlers(self.service)
        tables = self.tables or no_tables(self.lake)
        self.writer = ObjectWriter(batches, self.lake, datasets, TableCommits(tables))
        self.loop = SinkLoop(
            self.repository,
            self.service,
            self.writer,
            publish or self.keep,
            self.keep_dead_letter,
            self.woken,
            retry_delay_s=0,
        )

    async def keep(self, outgoing: Sequence[Outgoing]) -> None:
        self.published.extend(outgoing)

    async def keep_dead_letter(self, record: Record, error: PermanentError) -> None:
        if self.refuses_dead_letters:
            raise KafkaConnectionError
        self.dead_letters.append((record, error))

    async def make(self, rows: int, sequence: int = 0, run_id: str = "run-1") -> BatchManifest:
        first = 1000 * sequence
        content = [{"id": first + place, "title": f"title {place}"} for place in range(rows)]
        return await self.make_of(content, sequence, run_id)

    async def make_of(
        self, rows: Sequence[Mapping[str, Any]], sequence: int = 0, run_id: str = "run-1"
    ) -> BatchManifest:
        return await put_processed(
            self.staging, self.dataset, rows, run_id=run_id, sequence=sequence, first_position=1000 * sequence
        )

    async def deliver(self, batch: BatchManifest) -> list[Outgoing]:
        return list(await self.handlers.on_batch_processed(record_of(batch, batch.batch_id)))

    async def seal(self, batches: int, run_id: str = "run-1") -> None:
        sealed = RunSealed(run_id=run_id, requested_at=REQUESTED_AT, batches={"posts": batches})
        assert await self.handlers.on_run_sealed(record_of(sealed, run_id, topics.RUN_SEALED)) == []

    async def mark_failed(self, batch: BatchManifest, error: PermanentError) -> FailureOutcome:
        return await self.handlers.mark_failed(record_of(batch, batch.batch_id), error)

    async def drain(self) -> None:
        """Turns until there is nothing to do now."""
        while await self.loop.turn():
            pass

    def results(self) -> dict[int, BatchManifest]:
        """The last published result of each batch, by sequence."""
        found = {}
        for outgoing in self.published:
            event = outgoing.event
            assert isinstance(event, BatchManifest)
            assert outgoing.key == event.batch_id == batch_id(event.run_id, event.dataset, event.sequence)
            assert outgoing.topic == (topics.BATCH_STORED if event.status == "done" else topics.BATCH_FAILED)
            found[event.sequence] = event
        return found

    async def objects(self) -> dict[str, pa.Table]:
        """Everything in the lake, by key."""
        keys = [info.key async for info in self.lake.list("")]
        return {
            key: pq.read_table(pa.BufferReader(content))
            for key in sorted(keys)
            if (content := await self.lake.get(key)) is not None
        }

    async def states(self) -> list[str]:
        rows = await self.pool.fetch(
            "SELECT state FROM onpoint_lake.objects ORDER BY assigned_at, object_name"
        )
        return [row["state"] for row in rows]

    async def statuses(self) -> list[str]:
        rows = await self.pool.fetch("SELECT status FROM onpoint_lake.batches ORDER BY sequence")
        return [row["status"] for row in rows]
