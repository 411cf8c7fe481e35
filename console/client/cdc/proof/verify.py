"""`onpoint cdc verify`: the table at a known LSN, the lake once it is there, and what differs."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from aiokafka import TopicPartition

from console.client.cdc import state
from console.client.cdc.names import topic_of
from console.client.cdc.proof.columns import SourceColumn, source_columns
from console.client.cdc.proof.compare import Comparison, compare, compared
from console.client.cdc.proof.digests import ObjectDigest, agree
from console.client.cdc.proof.snapshot import snapshot_of
from console.client.cdc.source import Table
from shared.bus.kafka import KafkaClients
from shared.errors import OnPointError
from shared.storage.object_store import ObjectStore

POLL_S = 0.5

Report = Callable[[str], None]
Problem = Callable[[], Awaitable[str | None]]
"""Why the connector will never get there; None: it runs."""
Digest = Callable[
    [Sequence[state.StoredObject], Sequence[SourceColumn], int], Awaitable[Sequence[ObjectDigest] | None]
]
"""What counts of objects up to an LSN, worked out elsewhere; None: not now."""


class NotThereYetError(OnPointError):
    """The lake did not reach the LSN in time, or never will; one sentence for people."""


@dataclass(frozen=True, slots=True)
class Proof:
    table: Table
    lsn: int
    objects: int
    bytes: int
    faults: tuple[str, ...]
    """Gaps and overlaps of the objects' offsets, and objects in the lake that were not committed."""
    comparison: Comparison

    @property
    def is_equal(self) -> bool:
        return not self.faults and not self.comparison.differences


async def verify(
    dsn_connections: tuple[asyncpg.Connection, asyncpg.Connection, asyncpg.Connection],
    kafka: KafkaClients,
    lake: ObjectStore,
    table: Table,
    *,
    timeout_s: float,
    problem: Problem,
    report: Report,
    digest: Digest | None = None,
) -> Proof:
    """Compares the table as it is now with what its objects add up to, once the lake has everything up to now.

    Raises `NotThereYetError` where that takes longer than `timeout_s`, `NoSnapshotError` where no moment without writers is
    found, `ChecksumError` for an object that is not as it was written. Costs the disk of a row file and of the objects.
    With `digest` the objects are read elsewhere, and here only where hashes differ or cannot tell.
    """
    locking, reading, watching = dsn_connections
    with tempfile.TemporaryDirectory(prefix="onpoint-verify-") as folder:
        scratch = Path(folder)
        async with snapshot_of(locking, reading, table) as snapshot:
            columns = await source_columns(reading, table.quoted)
            report("reading the table")
            await snapshot.save(compared(columns), scratch / "rows.csv")
            lsn = snapshot.lsn
        report("waiting until the lake has it")
        stored = await _until_there(watching, kafka, table, lsn, problem, timeout_s)
        faults = _faults(stored) + [fault async for fault in _strays(lake, table, stored)]
        rows = None
        if digest is not None:
            report(f"having {len(stored)} objects read by the cluster")
            rows = await _agree(digest, stored, columns, lsn, scratch)
        if rows is not None:
            unlike = tuple(column.name for column in columns if not column.is_comparable)
            comparison = Comparison(rows, rows, 0, 0, 0, (), unlike)
        else:
            report(f"reading {len(stored)} objects")
            comparison = await _compare(lake, stored, columns, lsn, scratch)
    return Proof(table, lsn, len(stored), sum(each.bytes for each in stored), tuple(faults), comparison)


async def _agree(
    digest: Digest,
    stored: Sequence[state.StoredObject],
    columns: Sequence[SourceColumn],
    lsn: int,
    scratch: Path,
) -> int | None:
    """The rows of the table where hashes say that the lake has them; None: they do not say so."""
    found = await digest(stored, columns, lsn)
    if found is None:
        return None
    return await asyncio.to_thread(agree, found, scratch / "rows.csv", columns, scratch)


async def _compare(
    lake: ObjectStore,
    stored: Sequence[state.StoredObject],
    columns: Sequence[SourceColumn],
    lsn: int,
    scratch: Path,
) -> Comparison:
    files = []
    for each in stored:
        files.append(scratch / f"{each.first_offset}.parquet")
        await lake.download(each.key, files[-1], size=each.bytes, sha256=each.sha256)
    return await asyncio.to_thread(compare, files, scratch / "rows.csv", columns, lsn, scratch)


async def _until_there(
    connection: asyncpg.Connection,
    kafka: KafkaClients,
    table: Table,
    lsn: int,
    problem: Problem,
    timeout_s: float,
) -> list[state.StoredObject]:
    """The objects, once every change up to the LSN is in Kafka, and everything of that in the lake."""
    topic, deadline = topic_of(table.schema, table.name), time.monotonic() + timeout_s
    end: int | None = None
    while True:
        slot = await state.slot(connection)
        if slot is None or slot.wal_status == "lost":
            raise NotThereYetError(
                "the replication slot is gone: changes were lost; `onpoint cdc resnapshot --all` begins anew"
            )
        if end is None and (why := await problem()) is not None:
            raise NotThereYetError(why)
        if end is None and slot.confirmed >= lsn:
            end = await _end_of(kafka, topic)
        if end is not None:
            found = {each.topic: each for each in await state.tables(connection)}.get(topic)
            if found is not None and found.stopped is not None:
                raise NotThereYetError(f"{topic} is stopped: {found.stopped}")
            if (found.read_offset if found is not None else 0) >= end:
                return await state.objects(connection, topic)
        if time.monotonic() > deadline:
            missing = (
                "Kafka has not every change" if end is None else "the lake has not every change of Kafka"
            )
            raise NotThereYetError(f"{missing} after {timeout_s:.0f} s: look at `onpoint cdc status`")
        await asyncio.sleep(POLL_S)


async def _end_of(kafka: KafkaClients, topic: str) -> int:
    """0 for a topic that is not there: the table never had a row."""
    consumer = kafka.consumer(enable_auto_commit=False)
    await kafka.start(consumer)
    try:
        if topic not in await consumer.topics():
            return 0
        place = TopicPartition(topic, 0)
        return int((await consumer.end_offsets([place]))[place])
    finally:
        await consumer.stop()


def _faults(stored: Sequence[state.StoredObject]) -> list[str]:
    faults, expected = [], 0
    for each in stored:
        if each.first_offset != expected:
            kind = "a gap" if each.first_offset > expected else "an overlap"
            faults.append(f"{kind} of offsets before {each.key}: {expected} was expected")
        expected = each.last_offset + 1
    return faults


async def _strays(
    lake: ObjectStore, table: Table, stored: Sequence[state.StoredObject]
) -> AsyncIterator[str]:
    folder = table.name if table.schema == "public" else str(table)
    known = {each.key for each in stored}
    last = stored[-1].last_offset if stored else -1
    async for found in lake.list(f"cdc/{folder}/"):
        if found.key not in known and int(found.key.rsplit("/", 1)[1].split("-", 1)[0]) <= last:
            yield f"{found.key} is in the lake and was not committed"
