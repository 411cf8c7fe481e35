"""The bus and the stages of a small pipeline in memory, on the product's own commit protocol and pure rules.

A handler is an async generator: it stops at each point where its process may die. The test resumes it, drops it
(a crash: its record comes again) or keeps it for later (a zombie: another handles its record meanwhile).
"""

import tempfile
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.loader.domain import Merge, counts_of, result_of
from shared.bus.messages import Outgoing, Record
from shared.errors import PermanentError
from shared.events import ids, topics, topology
from shared.events.decode import decode_event, encode
from shared.events.models import BatchManifest, Counts, RunCompleted
from shared.events.topology import Stage
from shared.reasons import Reason
from shared.stages.failures import BatchDeadError, dead_manifest
from shared.stages.messages import result_event
from shared.stages.results import Batches, mark_batch_failed, redrive_batch
from shared.storage import keys
from shared.storage.object_store import open_memory

RUN, DATASET = "run", "rows"
NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
READ, REJECTED, DEDUPLICATED = 6, 1, 1
ACCEPTED = READ - REJECTED - DEDUPLICATED
SHIFT = 3
"""Keys of one batch to the next: the last key of a batch is the first of the following, as where a page has shifted."""

Steps = AsyncIterator[str]
READERS: dict[str, tuple[str, ...]] = {
    topics.CRAWL_BATCH_REQUESTED: ("crawler",),
    topics.BATCH_CRAWLED: ("processor", "quality"),
    topics.BATCH_PROCESSED: ("converter", "loader", "s3sink", "quality"),
    topics.BATCH_CONVERTED: ("quality",),
    topics.BATCH_LOADED: ("quality",),
    topics.BATCH_STORED: ("quality",),
    topics.BATCH_FAILED: ("quality",),
    topics.RUN_SEALED: ("s3sink",),
    topics.RUN_DRAINED: ("quality",),
    topics.CRAWL_PLANNED: ("quality",),
    topics.RUN_COMPLETED: (),
}


RESULTS = frozenset({*topology.RESULT_OF_STAGE.values(), topics.BATCH_FAILED})


def keys_of(sequence: int) -> range:
    """Of the accepted rows of a batch, in the order of their places."""
    return range(sequence * SHIFT, sequence * SHIFT + ACCEPTED)


@dataclass
class Delivery:
    """A record that waits for a group, for the first time or again."""

    record: Record
    replayed: bool = False


@dataclass
class Bus:
    """Delivers each record at least once, in any order."""

    inbox: dict[str, list[Delivery]] = field(default_factory=lambda: defaultdict(list))
    seen: dict[str, list[Record]] = field(default_factory=lambda: defaultdict(list))
    dead_letters: list[tuple[str, Record]] = field(default_factory=list)
    published: Counter[str] = field(default_factory=Counter)
    told: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """The published result of a batch that is done, by stage and batch."""

    def publish(self, event: Outgoing) -> None:
        """Raises `AssertionError` where a second result of a batch that is done differs from the first."""
        if event.topic in RESULTS:
            assert isinstance(event.event, BatchManifest)
            place, text = (event.event.stage, event.event.batch_id), encode(event.event)
            if event.event.status == "done" or place in self.told:
                assert self.told.setdefault(place, text) == text
        offset = self.published[event.topic]
        self.published[event.topic] += 1
        record = Record(event.topic, 0, offset, 0, event.key.encode(), encode(event.event))
        for group in READERS[event.topic]:
            self.inbox[group].append(Delivery(record))
            self.seen[group].append(record)


@dataclass
class World:
    """One run of one dataset."""

    batches: int
    bus: Bus = field(default_factory=Bus)
    staging: dict[str, Batches] = field(init=False)
    poisoned: set[tuple[str, str]] = field(default_factory=set)
    """Stage and batch that cannot be handled as long as this is here."""
    loaded: dict[str, BatchManifest] = field(default_factory=dict)
    table: dict[int, tuple[int, str]] = field(default_factory=dict)
    """Key to place and batch."""
    transactions: list[tuple[Record, RunCompleted]] = field(default_factory=list)
    """Completions that were published and not committed yet."""
    moments: int = 0
    """A clock that never stands still, so that no two tries of a stage write the same."""

    def __post_init__(self) -> None:
        self.store = open_memory("staging")
        self.staging = {stage: Batches(self.store, stage) for stage in ("crawler", "processor", "converter")}
        self.ids = [ids.batch_id(RUN, DATASET, sequence) for sequence in range(self.batches)]
        self._folder = tempfile.TemporaryDirectory(prefix="onpoint-model-")

    def close(self) -> None:
        self._folder.cleanup()

    def now(self) -> datetime:
        self.moments += 1
        return NOW + timedelta(microseconds=self.moments)

    async def cancel(self) -> None:
        await self.store.create(keys.cancel_key(RUN), b"{}")

    def refuse_poison(self, stage: str, batch_id: str) -> None:
        if (stage, batch_id) in self.poisoned:
            raise PermanentError(Reason.SCHEMA, "poison")

    async def in_staging(self, stage: Stage, record: Record) -> Steps:
        """Crawler, processor and converter: a manifest in staging is the commit."""
        parent = decode_event(BatchManifest, record.value)
        batches = self.staging[stage]
        found = await batches.committed(RUN, DATASET, parent.batch_id)
        if found is None:
            await batches.refuse_cancelled(RUN)
            self.refuse_poison(stage, parent.batch_id)
            file = Path(self._folder.name) / "artifact"
            file.write_bytes(f"{stage} {parent.sequence}".encode())
            rows = READ if stage == "crawler" else ACCEPTED
            artifact = await batches.artifacts.put(RUN, DATASET, file, extension="parquet", rows=rows)
            yield "put"
            result = parent.model_copy(
                update={
                    "stage": stage,
                    "parent_batch_ids": (parent.batch_id,),
                    "artifacts": (artifact,),
                    "counts": _counts(stage),
                    "produced_at": self.now(),
                }
            )
            found = await batches.commit(result)
            yield "committed"
        self.bus.publish(result_event(found))
        yield "published"

    async def mark_failed_in_staging(self, stage: Stage, record: Record, error: PermanentError) -> Steps:
        outcome = await mark_batch_failed(self.staging[stage], record, error)
        yield "died"
        if outcome.dead and error.reason is not Reason.CANCELLED:
            self.bus.dead_letters.append((stage, record))
            yield "dead letter written"
        for event in outcome.events:
            self.bus.publish(event)
        yield "published"

    async def load(self, record: Record) -> Steps:
        """The loader: its commit is a row of the ledger, written in the same transaction as the effect."""
        batch = decode_event(BatchManifest, record.value)
        if batch.batch_id not in self.loaded:
            await self.staging["converter"].refuse_cancelled(RUN)
            self.refuse_poison("loader", batch.batch_id)
            yield "copied"
            if batch.batch_id not in self.loaded:
                counts = counts_of(ACCEPTED, merge := self._merge(batch), 0)
                self.loaded[batch.batch_id] = result_of(
                    batch,
                    counts,
                    {},
                    repeated=merge.repeated,
                    refused=(),
                    artifacts=(),
                    produced_at=self.now(),
                    code_version="",
                )
            yield "committed"
        found = self.loaded[batch.batch_id]
        if found.status == "dead":
            raise BatchDeadError(found.reason or Reason.HANDLER, "dead")
        self.bus.publish(result_event(found))
        yield "published"

    async def mark_loaded_failed(self, record: Record, error: PermanentError) -> Steps:
        batch = decode_event(BatchManifest, record.value)
        found = self.loaded.setdefault(batch.batch_id, dead_manifest(batch, "loader", error))
        yield "died"
        if found.status == "dead" and error.reason is not Reason.CANCELLED:
            self.bus.dead_letters.append(("loader", record))
            yield "dead letter written"
        self.bus.publish(result_event(found))
        yield "published"

    async def redrive(self, stage: str, record: Record) -> None:
        """Clears the failure of the batch of a dead letter that is replayed."""
        batch_id = decode_event(BatchManifest, record.value).batch_id
        if stage == "loader":
            if self.loaded.get(batch_id, _ALIVE).status == "dead":
                del self.loaded[batch_id]
        elif stage in self.staging:
            await redrive_batch(self.staging[stage], record)

    def _merge(self, batch: BatchManifest) -> Merge:
        written = same_run = lost = 0
        for place, key in enumerate(keys_of(batch.sequence), batch.first_position):
            there = self.table.get(key)
            if there is None:
                written += 1
            elif there[0] < place:
                written, same_run = written + 1, same_run + 1
            else:
                lost += 1
                continue
            self.table[key] = (place, batch.batch_id)
        # A row that lost counts as superseded by being none of those written.
        return Merge(written=written, same_run=same_run, repeated=same_run + lost)


def request_of(sequence: int) -> BatchManifest:
    """What the crawler is asked to do, in the shape that every stage reads here."""
    return BatchManifest(
        run_id=RUN,
        dataset=DATASET,
        batch_id=ids.batch_id(RUN, DATASET, sequence),
        sequence=sequence,
        stage="crawler",
        requested_at=NOW,
        first_position=sequence * READ,
        produced_at=NOW,
        code_version="",
    )


def _counts(stage: Stage) -> Counts:
    match stage:
        case "crawler":
            return Counts(read=READ, accepted=READ)
        case "processor":
            return Counts(read=READ, accepted=ACCEPTED, rejected=REJECTED, deduplicated=DEDUPLICATED)
        case _:
            return Counts(read=ACCEPTED, accepted=ACCEPTED)


_ALIVE = request_of(0)
