"""A running pipeline as its users see it: ask for a run over Kafka, wait for its completion, read what arrived."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import asyncpg
import boto3
import pyarrow.parquet as pq
import zstandard
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.support.records import COLUMNS

DEAD_LETTER_PARTITIONS = 6
"""As deploy/kafka/topics.yaml has it."""


@dataclass(frozen=True)
class DeadLetter:
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class Pipeline:
    """A plain Kafka, PostgreSQL and S3 client; nothing of the product is used."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.servers = environment["ONPOINT_KAFKA_BOOTSTRAP_SERVERS"]
        self.lake_bucket = environment["ONPOINT_LAKE_BUCKET"]
        self.staging_bucket = environment["ONPOINT_STAGING_BUCKET"]
        self.s3 = boto3.client(
            "s3",
            endpoint_url=environment["ONPOINT_S3_ENDPOINT_URL"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region_name=environment["AWS_REGION"],
        )

    async def request(self, value: dict[str, Any] | bytes, key: bytes | None = None) -> None:
        await self.publish(
            "crawl.requested", value if isinstance(value, bytes) else json.dumps(value).encode(), key
        )

    async def publish(self, topic: str, value: bytes | None, key: bytes | None = None) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.servers, acks="all") as producer:
            await producer.send_and_wait(topic, value, key=key)

    async def publish_again(self, topic: str, run_id: str) -> None:
        """Every record of the run that is in the topic, once more."""
        consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=self.servers, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            partitions = consumer.assignment()
            ends = await consumer.end_offsets(partitions)
            found = []
            while any([await consumer.position(p) < ends[p] for p in partitions]):
                for messages in (await consumer.getmany(timeout_ms=500)).values():
                    found += [m for m in messages if json.loads(m.value).get("run_id") == run_id]
        finally:
            await consumer.stop()
        assert found
        for message in found:
            await self.publish(topic, message.value, message.key)

    @asynccontextmanager
    async def completions(self) -> AsyncIterator["Completions"]:
        """Every `run.completed` from now on, as committed."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.servers, enable_auto_commit=False, isolation_level="read_committed"
        )
        await consumer.start()
        try:
            partition = TopicPartition("run.completed", 0)
            consumer.assign([partition])
            await consumer.seek_to_end(partition)
            await consumer.position(partition)
            yield Completions(consumer)
        finally:
            await consumer.stop()

    async def run(self, value: dict[str, Any], within_s: float = 60) -> dict[str, Any]:
        async with self.completions() as completions:
            await self.request(value)
            return await completions.of(value["run_id"], within_s)

    async def rows(self, dataset: str, where: str = "true") -> list[tuple[Any, ...]]:
        """The dataset's own columns in PostgreSQL, by source position."""
        columns = ", ".join(f'"{name}"' for name in COLUMNS[dataset])
        found = await self.fetch(
            f"SELECT {columns} FROM onpoint_{dataset} WHERE {where} ORDER BY _source_position"
        )
        return [tuple(row) for row in found]

    async def fetch(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.environment["ONPOINT_POSTGRES_DSN"])
        try:
            return list(await connection.fetch(sql, *arguments))
        finally:
            await connection.close()

    async def dead_letters(self, service: str, key: bytes) -> list["DeadLetter"]:
        """The dead letters of a service with that key."""
        return [dead_letter for dead_letter in await self.all_dead_letters(service) if dead_letter.key == key]

    async def dead_letters_of_run(self, service: str, run_id: str) -> list["DeadLetter"]:
        mine = ("dlq.run_id", run_id.encode())
        return [
            dead_letter for dead_letter in await self.all_dead_letters(service) if mine in dead_letter.headers
        ]

    async def all_dead_letters(self, service: str) -> list["DeadLetter"]:
        # From the beginning by policy: a seek would race with the consumer's own look-up of where to start.
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.servers, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            partitions = [
                TopicPartition(f"{service}.dlq", number) for number in range(DEAD_LETTER_PARTITIONS)
            ]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            found: list[DeadLetter] = []
            while any([await consumer.position(p) < ends[p] for p in partitions]):
                for messages in (await consumer.getmany(timeout_ms=500)).values():
                    found += [DeadLetter(m.key, m.value, tuple(m.headers)) for m in messages]
            return found
        finally:
            await consumer.stop()

    def quarantine(self, run_id: str, dataset: str) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = []
        for key in self.keys(self.staging_bucket):
            if key.startswith(f"runs/{run_id}/{dataset}/processor/") and "quarantine" in key:
                packed = self.read(f"s3://{self.staging_bucket}/{key}")
                text = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)).read()
                lines += [json.loads(line) for line in text.split(b"\n") if line]
        return lines

    def listing(self, run_id: str) -> dict[str, Any]:
        found = self.s3.get_object(Bucket=self.lake_bucket, Key=f"_runs/{run_id}.json")
        document: dict[str, Any] = json.loads(found["Body"].read())
        return document

    def listings(self) -> list[str]:
        return [key for key in self.keys(self.lake_bucket) if key.startswith("_runs/")]

    def keys(self, bucket: str) -> Iterator[str]:
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for item in page.get("Contents", ()):
                yield item["Key"]

    def read(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        data: bytes = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return data

    def lake_rows(self, run_id: str, dataset: str) -> list[tuple[Any, ...]]:
        """The dataset's own columns in the lake, through the run's listing, by source position."""
        rows: list[tuple[int, tuple[Any, ...]]] = []
        for entry in self.listing(run_id)["datasets"][dataset]["objects"]:
            table = pq.read_table(io.BytesIO(self.read(entry["uri"])))
            assert table.num_rows == entry["rows"]
            positions = table["_source_position"].to_pylist()
            columns = [table[name].to_pylist() for name in COLUMNS[dataset]]
            rows += zip(cast("list[int]", positions), zip(*columns, strict=True), strict=True)
        return [row for _, row in sorted(rows, key=lambda item: item[0])]


class Completions:
    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self.seen: list[dict[str, Any]] = []

    async def of(self, run_id: str, within_s: float) -> dict[str, Any]:
        """The completion of that run. Raises `TimeoutError`."""
        return (await self.all({run_id}, within_s))[run_id]

    async def all(self, run_ids: set[str], within_s: float) -> dict[str, dict[str, Any]]:
        async with asyncio.timeout(within_s):
            while True:
                found = {value["run_id"]: value for value in self.seen if value["run_id"] in run_ids}
                if len(found) == len(run_ids):
                    return found
                self._keep(await self._consumer.getmany(timeout_ms=100))

    async def matching(self, text: str, within_s: float) -> dict[str, Any]:
        """The first completion whose reason contains the text."""
        async with asyncio.timeout(within_s):
            while True:
                for value in self.seen:
                    if text in (value["reason"] or ""):
                        return value
                self._keep(await self._consumer.getmany(timeout_ms=100))

    async def for_a_while(self, seconds: float) -> list[dict[str, Any]]:
        """Every completion seen so far, and those of the next `seconds`."""
        self._keep(await self._consumer.getmany(timeout_ms=int(seconds * 1000)))
        return self.seen

    def _keep(self, batches: dict[TopicPartition, list[Any]]) -> None:
        for messages in batches.values():
            self.seen += [json.loads(message.value) for message in messages]
