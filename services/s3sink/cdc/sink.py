"""Changes of tables into objects of the lake, exactly once.

An object's name has the range of its offsets. The range is claimed in PostgreSQL before the object is put, and committed
with the table's position after it. So a process that ends in between leaves a claim: whoever comes next writes that very
range under that very name, and no two objects share an offset. Offsets of Kafka are committed last, and decide nothing.
"""

import asyncio
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from services.s3sink.cdc.catalog import Catalog
from services.s3sink.cdc.columns import Column
from services.s3sink.cdc.decode import Decoder
from services.s3sink.cdc.errors import SchemaGrewError
from services.s3sink.cdc.open_object import OpenObject
from services.s3sink.cdc.repository import CdcRepository, Load, Position, Written
from services.s3sink.cdc.rows import Rows
from services.s3sink.cdc.settings import CdcSettings
from shared import crashpoints
from shared.bus.batches import RecordBatch, StopPartitionError
from shared.observability.logging import get_logger
from shared.storage.keys import cdc_key
from shared.storage.object_store import ObjectStore

SAVE_S = 5.0
"""After so long without a row, the position behind records that are no changes is saved."""

log = get_logger()


class Observe(Protocol):
    """Called with each object that is in the lake."""

    def __call__(self, table: str, written: Written, skipped: int, load: Load, /) -> None: ...


@dataclass(slots=True)
class _Table:
    topic: str
    schema: str
    name: str
    position: Position
    columns: tuple[Column, ...]
    read: int
    """Every record below was handled."""
    open: OpenObject | None = None
    opened_s: float = 0.0
    saved_s: float = 0.0
    skipped: int = 0
    loaded: int = 0
    begins_load: bool = False
    ends_load: bool = False
    as_text: set[str] = field(default_factory=set)
    """Columns that some rows of the open object do not fit."""

    @property
    def folder(self) -> str:
        return self.name if self.schema == "public" else f"{self.schema}.{self.name}"


@dataclass(slots=True)
class _Claim:
    """What the rows of a claimed range turned out to need, once they were read."""

    as_text: set[str] = field(default_factory=set)
    columns: tuple[Column, ...] = ()


class CdcSink:
    """A `BatchHandler`."""

    def __init__(
        self,
        repository: CdcRepository,
        catalog: Catalog,
        decoder: Decoder,
        lake: ObjectStore,
        settings: CdcSettings,
        room: Path,
        observe: Observe,
    ) -> None:
        """`room`: a folder for objects until they are in the lake."""
        self._repository = repository
        self._catalog = catalog
        self._decoder = decoder
        self._lake = lake
        self._settings = settings
        self._room = room
        self._observe = observe
        self._tables: dict[str, _Table] = {}
        self._claimed: dict[str, _Claim] = {}

    async def begin(self, topic: str, partition: int, earliest: int, end: int) -> int:
        """Raises `StopPartitionError` for a gap: records that are gone, or a topic that is not the one that was read."""
        self.forget(topic, partition)
        _, schema, name = topic.split(".", 2)
        if partition:
            raise StopPartitionError("it has several partitions: the order of a table's changes is lost")
        found = await self._repository.position(topic, name, earliest)
        first = found.read_offset
        if first < earliest and await self._repository.begin_anew(topic, earliest):
            found, first = replace(found, read_offset=earliest), earliest
        why = None
        if first < earliest:
            why = f"offsets {first} to {earliest - 1} are gone from Kafka: `onpoint cdc resnapshot {name}` begins anew"
        elif first > end:
            why = f"the topic ends at {end}, and {first} was read: it was made anew; `onpoint cdc resnapshot {name}`"
        await self._repository.stop(topic, why)
        if why is not None:
            raise StopPartitionError(why)
        columns = await self._catalog.columns(schema, name)
        table = self._tables[topic] = _Table(
            topic, schema, name, found, columns, first, saved_s=time.monotonic()
        )
        if (claim := self._claimed.get(topic)) is not None:
            table.as_text |= claim.as_text
            table.columns = tuple(replace(each, as_text=False) for each in claim.columns)
        return first

    def forget(self, topic: str, partition: int) -> None:  # noqa: ARG002 - a table has one
        table = self._tables.pop(topic, None)
        if table is not None and table.open is not None:
            table.open.discard()

    async def handle(self, batch: RecordBatch) -> int | None:
        table = self._tables[batch.topic]
        new = batch.since(table.read)
        if new is None:
            return None
        batch, last = new, table.position.claimed_last
        if last is None:
            await self._take(table, batch)
        else:
            if (claimed := batch.before(last + 1)) is not None:
                await self._take(table, claimed)
            if batch.next_offset <= last:
                return None
            await self._write(table, last)
            if (rest := batch.since(last + 1)) is not None:
                await self._take(table, rest)
        await self._relieve()
        return await self._close_if_due(table)

    async def tick(self, topic: str, partition: int, position: int) -> int | None:  # noqa: ARG002 - as `begin`
        table = self._tables.get(topic)
        if table is None:
            return None
        table.read = max(table.read, position)
        last = table.position.claimed_last
        if last is not None and table.read > last:
            # The rest of the range are marks of transactions, which no consumer sees.
            await self._write(table, last)
        return await self._close_if_due(table)

    async def _take(self, table: _Table, batch: RecordBatch) -> None:
        rows = await self._decode(table, batch)
        if rows.table.num_rows:
            if table.open is not None and table.open.schema != rows.table.schema:
                await self._change_schema(table, rows)
            if table.open is None:
                target = self._settings.cdc_object_target_bytes
                table.open = OpenObject(rows.table.schema, batch.timestamps_ms[0], target, self._room)
                table.opened_s = time.monotonic()
            table.columns = tuple(replace(each, as_text=False) for each in rows.columns)
            table.as_text |= {each.name for each in rows.columns if each.as_text}
            await asyncio.to_thread(table.open.append, rows.table)
        table.skipped += rows.skipped
        table.loaded = rows.loaded + (0 if rows.begins_load else table.loaded)
        table.begins_load |= rows.begins_load
        table.ends_load |= rows.ends_load
        table.read = batch.next_offset

    async def _decode(self, table: _Table, batch: RecordBatch) -> Rows:
        """By the columns as they are known; where records have others, the table is looked at again."""
        rows = await self._decode_by(table, batch)
        if len(rows.columns) > len(table.columns):
            now = await self._catalog.columns(table.schema, table.name)
            named = {each.name for each in now}
            grown = (*now, *(each for each in table.columns if not each.type and each.name not in named))
            if grown != table.columns:
                table.columns = grown
                rows = await self._decode_by(table, batch)
        return rows

    async def _decode_by(self, table: _Table, batch: RecordBatch) -> Rows:
        columns = [replace(each, as_text=each.name in table.as_text) for each in table.columns]
        return await asyncio.to_thread(self._decoder.decode, batch, columns)

    async def _change_schema(self, table: _Table, rows: Rows) -> None:
        """An object has one schema: the open one ends before these rows.

        A claimed one cannot end there: it is begun anew with what both schemas need.
        """
        if table.position.claimed_last is None:
            await self._close(table)
            return
        claim = self._claimed.setdefault(table.topic, _Claim())
        claim.as_text |= table.as_text | {each.name for each in rows.columns if each.as_text}
        claim.columns = table.columns if len(table.columns) > len(rows.columns) else rows.columns
        raise SchemaGrewError(f"{table.topic}: the columns change within {table.position.claimed_key}")

    async def _close_if_due(self, table: _Table) -> int | None:
        """The offset below which everything is durable, where that has changed."""
        now = time.monotonic()
        if table.position.claimed_last is not None:
            return None
        if table.open is not None:
            size = table.open.size_bytes
            if (
                not table.ends_load
                and size < self._settings.cdc_object_target_bytes
                and now - table.opened_s < self._settings.cdc_max_age_s
            ):
                return None
            return await self._close(table)
        if table.read > table.position.read_offset and now - table.saved_s >= SAVE_S:
            await self._repository.read(table.topic, table.position.next_offset, table.read)
            table.position = replace(table.position, read_offset=table.read)
            table.saved_s = now
            return table.read
        return None

    async def _close(self, table: _Table) -> int | None:
        """Claims the range up to what was read, and writes it."""
        if table.open is None:
            return None
        first, last = table.position.next_offset, table.read - 1
        key = cdc_key(table.folder, table.open.hour, first, last)
        await self._repository.claim(table.topic, first, last, key)
        table.position = replace(table.position, claimed_last=last, claimed_key=key)
        return await self._write(table, last)

    async def _write(self, table: _Table, last: int) -> int:
        """Puts the claimed object, and commits it with the position behind it."""
        if table.open is None or table.position.claimed_key is None:
            raise RuntimeError(f"{table.topic}: a claim without rows")
        first, key = table.position.next_offset, table.position.claimed_key
        file, sha256, size = await asyncio.to_thread(table.open.finish)
        await self._lake.put(key, file)
        crashpoints.reach("cdc.put")
        written = Written(
            table.topic,
            first,
            last,
            key,
            table.open.rows,
            size,
            sha256,
            table.open.first_lsn,
            table.open.last_lsn,
            table.loaded,
            table.begins_load,
        )
        load = await self._repository.written(written)
        self._observe(table.folder, written, table.skipped, load)
        log.info(
            "changes_stored",
            table=table.folder,
            key=key,
            rows=written.rows,
            skipped=table.skipped,
            bytes=size,
        )
        table.open.discard()
        table.open, table.skipped, table.saved_s, table.as_text = None, 0, time.monotonic(), set()
        table.loaded, table.begins_load, table.ends_load = 0, False, False
        table.columns = await self._catalog.columns(table.schema, table.name)
        self._claimed.pop(table.topic, None)
        table.position = Position(last + 1, last + 1, None, None)
        table.read = max(table.read, last + 1)
        return last + 1

    async def _relieve(self) -> None:
        """Bounds the memory of many tables: the largest waiting row groups are written until the rest fits."""
        waiting = sorted(
            (table.open for table in self._tables.values() if table.open is not None),
            key=lambda each: each.waiting_bytes,
        )
        total = sum(each.waiting_bytes for each in waiting)
        while total > self._settings.cdc_buffer_bytes and waiting:
            largest = waiting.pop()
            total -= largest.waiting_bytes
            await asyncio.to_thread(largest.flush)
