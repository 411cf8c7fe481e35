"""An installation at rest whose data can be damaged in one place, and mended again."""

import io
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import pyarrow as pa
import pyarrow.parquet as pq
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from console.cli import environment
from console.verify.findings import Findings, Violation
from console.verify.process_usage import Usage
from console.verify.verify import VerifyOptions, verify
from deploy.local.home import Home
from tests.support.pipeline import Pipeline

Headers = list[tuple[str, bytes | None]]


@dataclass
class DamagedStack:
    """The services are stopped, so nothing heals itself meanwhile."""

    pipeline: Pipeline
    home: Home
    database: asyncpg.Connection
    producer: AIOKafkaProducer
    options: VerifyOptions
    usages: Mapping[str, Usage]
    """Of the services that run."""

    @contextmanager
    def with_options(self, **changes: Any) -> Iterator[None]:
        """Other options until the end of the block."""
        before = self.options
        self.options = replace(before, **changes)
        yield
        self.options = before

    async def ask(self, *only: str, **changes: Any) -> Findings:
        options = replace(self.options, **changes)
        return await verify(replace(options, only=frozenset(only)) if only else options, environment)

    async def seeded(self, defect: "Defect") -> tuple[str, Findings]:
        """What must be named while the defect is there, and what is found; afterwards it is mended."""
        async with aclosing(defect.seed(self)) as seeded:  # type: ignore[type-var]  # an async generator
            subject = await anext(seeded)
            found = await self.ask(defect.invariant, **defect.asks)
            async for _ in seeded:
                pass
        return subject, found

    async def value(self, sql: str, *arguments: Any) -> Any:
        return await self.database.fetchval(sql, *arguments)

    @asynccontextmanager
    async def altered(self, table: str, sql: str, *arguments: Any) -> AsyncIterator[None]:
        """The statement is done to the table; afterwards the table is as it was."""
        schema, _, name = table.partition(".")
        columns = [
            row["attname"]
            for row in await self.database.fetch(
                "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 "
                "AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
                table,
            )
        ]
        names = ", ".join(f'"{column}"' for column in columns)
        rows = [tuple(row) for row in await self.database.fetch(f"SELECT {names} FROM {table}")]
        done = await self.database.execute(sql, *arguments)
        assert done.rpartition(" ")[2] != "0", "the statement met no row"
        try:
            yield
        finally:
            async with self.database.transaction():
                await self.database.execute(f"DELETE FROM {table}")
                await self.database.copy_records_to_table(
                    name, schema_name=schema, records=rows, columns=columns
                )

    @asynccontextmanager
    async def put(self, uri: str, data: bytes | None) -> AsyncIterator[None]:
        """Other bytes are at the key, or none; afterwards the original ones."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        before = self.pipeline.read(uri) if self._is_there(bucket, key) else None
        self._write(bucket, key, data)
        try:
            yield
        finally:
            self._write(bucket, key, before)

    def damaged(self, uri: str, change: Callable[[bytes], bytes]) -> AbstractAsyncContextManager[None]:
        return self.put(uri, change(self.pipeline.read(uri)))

    def rewritten(
        self, uri: str, change: Callable[[pa.Table], pa.Table]
    ) -> AbstractAsyncContextManager[None]:
        """Another Parquet file is in its place."""

        def anew(data: bytes) -> bytes:
            target = io.BytesIO()
            pq.write_table(change(pq.read_table(io.BytesIO(data))), target)
            return target.getvalue()

        return self.damaged(uri, anew)

    async def file(self, stage: str, form: str, run_id: str = "first", dataset: str = "posts") -> str:
        """The URI of a file that the stage wrote."""
        uri = await self.value(
            "SELECT a ->> 'uri' FROM onpoint_runs.results, jsonb_array_elements(artifacts) AS a "
            "WHERE run_id = $1 AND dataset = $2 AND stage = $3 AND a ->> 'format' = $4 ORDER BY sequence LIMIT 1",
            run_id, dataset, stage, form,
        )  # fmt: skip
        assert isinstance(uri, str)
        return uri

    async def batch(self, run_id: str = "first", dataset: str = "posts", sequence: int = 0) -> str:
        found = await self.value(
            "SELECT batch_id FROM onpoint_runs.results WHERE (run_id, dataset, sequence, stage) = ($1, $2, $3, 'crawler')",
            run_id, dataset, sequence,
        )  # fmt: skip
        assert isinstance(found, str)
        return found

    async def send(
        self, topic: str, value: bytes | None, *, key: bytes | None = None, headers: Headers | None = None
    ) -> int:
        """To partition 0; the offset."""
        place = await self.producer.send_and_wait(topic, value, key=key, headers=headers or [], partition=0)
        return int(place.offset)

    @asynccontextmanager
    async def sent(
        self, topic: str, value: bytes | None, *, headers: Headers | None = None, key: bytes | None = None
    ) -> AsyncIterator[int]:
        """A record is in partition 0; afterwards all that was in that partition is gone, as by retention."""
        offset = await self.send(topic, value, headers=headers, key=key)
        try:
            yield offset
        finally:
            await self.cut(topic)

    async def cut(self, topic: str, partition: int = 0) -> None:
        """Removes every record of a partition."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.pipeline.servers)
        await admin.start()
        try:
            await admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(before_offset=-1)})
        finally:
            await admin.close()

    @asynccontextmanager
    async def committed(self, service: str, topic: str, offset: int) -> AsyncIterator[None]:
        """The service's group stands at that offset of partition 0; afterwards where it stood."""
        tp = TopicPartition(topic, 0)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.pipeline.servers, group_id=f"onpoint-{service}", enable_auto_commit=False
        )
        await consumer.start()
        try:
            consumer.assign([tp])
            before = await consumer.committed(tp)
            await consumer.commit({tp: offset})
            yield
            if before is not None:
                await consumer.commit({tp: before})
        finally:
            await consumer.stop()

    async def records(self, topic: str) -> list[Any]:
        """Of partition 0 to 5."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.pipeline.servers, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, number) for number in range(6)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            found: list[Any] = []
            while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += records
            return found
        finally:
            await consumer.stop()

    def _is_there(self, bucket: str, key: str) -> bool:
        found = self.pipeline.s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
        return any(entry["Key"] == key for entry in found.get("Contents", ()))

    def _write(self, bucket: str, key: str, data: bytes | None) -> None:
        if data is None:
            self.pipeline.s3.delete_object(Bucket=bucket, Key=key)
        else:
            self.pipeline.s3.put_object(Bucket=bucket, Key=key, Body=data)


Seed = Callable[[DamagedStack], AsyncIterator[str]]


@dataclass(frozen=True)
class Defect:
    """One thing that is wrong. `seed` yields what must be named, and mends it afterwards."""

    invariant: str
    title: str
    seed: Seed
    asks: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.invariant}: {self.title}"


class Defects:
    def __init__(self) -> None:
        self.all: list[Defect] = []

    def __call__(self, invariant: str, title: str, **asks: Any) -> Callable[[Seed], Seed]:
        """Registers the function that seeds it; `asks` is added to the options."""

        def register(seed: Seed) -> Seed:
            self.all.append(Defect(invariant, title, seed, asks))
            return seed

        return register


def named(violations: Sequence[Violation], invariant: str, subject: str) -> bool:
    return any(v.invariant == invariant and subject in v.subject for v in violations)
