"""Runs that the sink stored and quality completed, on a real database and buckets, and a compactor beside them."""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from shared.datasets.model import Dataset
from shared.events.models import BatchManifest
from shared.lake.compact import Compactor, Report
from shared.lake.listings import DatasetListings
from shared.lake.repository import CompactionRepository
from shared.lake.tables.open import LakeTables
from shared.storage import keys
from shared.storage.object_store import ObjectStore
from shared.sweep.ledger import LedgerRunIndex
from shared.sweep.rules import Limits, SweepReport
from shared.sweep.sweep import Sweep
from tests.integration.quality.conftest import Quality, dataset
from tests.integration.quality.story import Batch, Story
from tests.support.datasets import datasets_of
from tests.support.processed import REQUESTED_AT, put_processed
from tests.support.sink import POSTS, Sink, no_tables

TARGET_BYTES = 8 * 2**20


@dataclass
class Lake:
    pool: asyncpg.Pool
    staging: ObjectStore
    lake: ObjectStore
    dataset: Dataset = POSTS
    target_bytes: int = TARGET_BYTES
    runs: list[str] = field(default_factory=list)
    tables: LakeTables | None = None
    """Absent: the dataset has no table format."""

    posts = POSTS

    def __post_init__(self) -> None:
        self.sink = Sink(self.pool, self.staging, self.lake, tables=self.tables)
        self.quality = Quality(self.pool, {"posts": dataset("posts")}, self.staging, self.lake)
        self.listings = DatasetListings(self.pool, self.lake)

    def use(self, dataset: Dataset) -> None:
        """From here on runs are frozen with this one."""
        self.dataset = dataset
        self.sink.dataset = dataset
        self.sink.rebuild()

    async def store(
        self, run_id: str, rows: Sequence[Mapping[str, Any]], *, requested_at: datetime = REQUESTED_AT
    ) -> None:
        """A run of one batch as far as its object in the lake; it has not ended."""
        batch = await put_processed(
            self.staging, self.dataset, rows, run_id=run_id, requested_at=requested_at
        )
        await self.sink.deliver(batch)
        await self.sink.seal(1, run_id=run_id)
        await self.sink.drain()

    async def end(self, run_id: str, rows: int) -> None:
        """The run's other results reach quality, which completes it and writes its listing."""
        story = Story(run_id, {"posts": (Batch(rows, clean=True),)})
        own = [outgoing for outgoing in self.sink.published if _run_of(outgoing.event) == run_id]
        others = [event for event in story.events() if getattr(event.event, "stage", "") != "s3sink"]
        await self.quality.handle(*others, *own)
        await self.quality.complete(run_id)
        self.runs.append(run_id)

    async def run(
        self, run_id: str, rows: Sequence[Mapping[str, Any]], *, requested_at: datetime = REQUESTED_AT
    ) -> None:
        await self.store(run_id, rows, requested_at=requested_at)
        await self.end(run_id, len(rows))
        await self.catch_up()

    async def many(self, runs: int, rows: int = 10) -> None:
        """Runs of one hour with keys of their own."""
        for number in range(runs):
            first = number * rows
            content = [{"id": first + place, "title": f"title {first + place}"} for place in range(rows)]
            await self.run(f"run-{number:02}", content, requested_at=REQUESTED_AT + timedelta(seconds=number))

    def compactor(self, **options: Any) -> Compactor:
        datasets = datasets_of({"posts": self.dataset})
        return Compactor(
            CompactionRepository(self.pool),
            self.listings,
            self.lake,
            datasets,
            self.target_bytes,
            self.tables or no_tables(self.lake),
            **options,
        )

    async def compact(self, *, latest: bool = False, **options: Any) -> Report:
        return await self.compactor(**options).run(["posts"], latest=latest)

    async def catch_up(self) -> None:
        """What quality's loops do each second."""
        await self.quality.listings.catch_up()
        await self.listings.catch_up()

    async def sweep(self, later: timedelta = timedelta(), grace_hours: int = 24) -> SweepReport:
        limits = Limits(lake_grace=timedelta(hours=grace_hours))
        now = datetime.now(UTC) + later
        return await Sweep(
            self.staging, self.lake, LedgerRunIndex(self.pool), None, limits=limits, now=now
        ).run()

    async def objects(self) -> list[str]:
        """Keys of the dataset's objects, whether they count or not."""
        return sorted([info.key async for info in self.lake.list("posts/")])

    async def states(self) -> list[str]:
        rows = await self.pool.fetch("SELECT state FROM onpoint_lake.compactions ORDER BY planned_at, name")
        return [row["state"] for row in rows]

    async def listing(self, run_id: str) -> list[dict[str, Any]]:
        found = await self.quality.listing(run_id)
        assert found is not None
        return list(found["datasets"]["posts"]["objects"])  # type: ignore[index]

    async def dataset_listing(self) -> dict[str, Any]:
        text = await self.lake.get(keys.dataset_listing_key("posts"))
        assert text is not None
        document: dict[str, Any] = orjson.loads(text)
        return document

    async def read(self, entries: Iterable[Mapping[str, Any]]) -> pa.Table:
        """As a reader of a listing does: the objects, and of each the rows that it names."""
        tables = []
        for entry in entries:
            data = await self.lake.get(self.lake.key(entry["uri"], "posts/"))
            assert data is not None, f"{entry['uri']} is listed and gone"
            table = pq.read_table(io.BytesIO(data))
            assert table.num_rows == entry["rows"]
            for name, value in entry.get("where", {}).items():
                table = table.filter(pa.compute.equal(table[name], value))
                assert table.num_rows == entry["rows_of_run"]
            tables.append(table)
        return pa.concat_tables(tables, promote_options="default").sort_by(
            [("_run_id", "ascending"), ("_source_position", "ascending")]
        )

    async def read_runs(self) -> pa.Table:
        """Every row, by the listings of the runs."""
        return await self.read([entry for run_id in self.runs for entry in await self.listing(run_id)])

    async def read_dataset(self) -> pa.Table:
        return await self.read((await self.dataset_listing())["objects"])


def _run_of(event: object) -> str | None:
    return event.run_id if isinstance(event, BatchManifest) else None
