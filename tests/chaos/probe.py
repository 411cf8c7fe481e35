"""Reads each `run.completed` as a consumer does, and checks at that moment that all it reports can be read."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg
import botocore.exceptions
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from tests.support.pipeline import Pipeline

_T = TypeVar("_T")

OUTAGE_PATIENCE_S = 120.0
"""How long the probe waits for a database or an object store that is down before it reads."""


@dataclass
class Sighting:
    run_id: str
    at_s: float
    value: dict[str, Any]
    problems: list[str]
    """What `run.completed` reports and could not be read."""
    rows: dict[str, int]
    """In PostgreSQL, from this run or a later one."""

    def observed(self) -> dict[str, Any]:
        """As `onpoint verify --observed` takes it."""
        return {
            "run_id": self.run_id,
            "rows": self.rows,
            "listing": "there is no listing" not in self.problems,
        }


class CompletionProbe:
    def __init__(self, pipeline: Pipeline, rows: Mapping[str, int], run_prefix: str, began_s: float) -> None:
        self._pipeline = pipeline
        self._rows = rows
        self._prefix = run_prefix
        self._began_s = began_s
        self._offset = 0
        self.sightings: list[Sighting] = []

    def completed(self) -> set[str]:
        return {sighting.run_id for sighting in self.sightings}

    async def run(self) -> None:
        """Until cancelled. Reads the topic from its beginning, on from the same offset after an outage."""
        while True:
            try:
                await self._follow()
            except (KafkaError, OSError, TimeoutError):
                await asyncio.sleep(0.5)

    async def _follow(self) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._pipeline.servers,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
        )
        partition = TopicPartition("run.completed", 0)
        try:
            await consumer.start()
            consumer.assign([partition])
            consumer.seek(partition, self._offset)
            while True:
                for messages in (await consumer.getmany(timeout_ms=500)).values():
                    for message in messages:
                        self._offset = message.offset + 1
                        await self._see(json.loads(message.value))
        finally:
            await consumer.stop()

    async def _see(self, value: dict[str, Any]) -> None:
        run_id = value["run_id"]
        if not run_id.startswith(self._prefix):
            return
        at_s = round(time.monotonic() - self._began_s, 2)
        rows = await self._patiently(lambda: self._count_rows(run_id))
        problems = [
            *(
                f"{dataset}: {rows[dataset]} rows in PostgreSQL, not {expected}"
                for dataset, expected in self._rows.items()
                if rows[dataset] != expected
            ),
            *await self._patiently(lambda: asyncio.to_thread(self._look_at_lake, value)),
        ]
        self.sightings.append(Sighting(run_id, at_s, value, problems, rows))

    async def _patiently(self, look: Callable[[], Awaitable[_T]]) -> _T:
        deadline_s = time.monotonic() + OUTAGE_PATIENCE_S
        while True:
            try:
                return await look()
            except (
                OSError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                botocore.exceptions.BotoCoreError,
                botocore.exceptions.ClientError,
            ) as error:
                missing = getattr(error, "response", {}).get("Error", {}).get("Code") in {"NoSuchKey", "404"}
                if missing or time.monotonic() > deadline_s:
                    raise
                await asyncio.sleep(0.5)

    async def _count_rows(self, run_id: str) -> dict[str, int]:
        """Keys that this run or one that was asked for later has loaded; every run has the same keys."""
        found = {}
        for dataset in self._rows:
            (row,) = await self._pipeline.fetch(
                f"SELECT count(*) AS n FROM onpoint_{dataset} WHERE (_requested_at, _run_id) >= "
                "(SELECT requested_at, run_id FROM onpoint_runs.v_runs WHERE run_id = $1)",
                run_id,
            )
            found[dataset] = row["n"]
        return found

    def _look_at_lake(self, value: dict[str, Any]) -> list[str]:
        try:
            listing = self._pipeline.listing(value["run_id"])
        except self._pipeline.s3.exceptions.NoSuchKey:
            return ["there is no listing"]
        problems = []
        for dataset, expected in self._rows.items():
            entry = listing["datasets"].get(dataset, {"objects": [], "exports": []})
            rows = sum(item["rows"] for item in entry["objects"])
            if rows != expected:
                problems.append(f"{dataset}: {rows} rows in the listing, not {expected}")
            problems += [
                f"{item['uri']}: {size} bytes, not {item['bytes']}"
                for item in (*entry["objects"], *entry["exports"])
                if (size := self._size(item["uri"])) != item["bytes"]
            ]
        return problems

    def _size(self, uri: str) -> int | None:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        try:
            found = self._pipeline.s3.head_object(Bucket=bucket, Key=key)
        except botocore.exceptions.ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise
        return int(found["ContentLength"])
