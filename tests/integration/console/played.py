"""The command line's process, and stand-ins for the services that it talks to."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from shared.events.topics import RUN_COMPLETED


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Onpoint = Callable[..., Coroutine[Any, Any, Result]]
Start = Callable[..., Coroutine[Any, Any, asyncio.subprocess.Process]]


async def ended(process: asyncio.subprocess.Process) -> Result:
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return Result(process.returncode, out.decode(), err.decode())


class Services:
    """All that the command line sees of them: they take requests, and publish `run.completed`."""

    def __init__(self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer) -> None:
        self._consumer = consumer
        self._producer = producer

    async def requested(self) -> tuple[Any, dict[str, Any]]:
        """The next request: its record and value."""
        record = await asyncio.wait_for(self._consumer.getone(), 60)
        return record, json.loads(record.value)

    async def complete(self, run_id: str, status: str = "succeeded", **changes: Any) -> dict[str, Any]:
        value = completed(run_id, status, **changes)
        async with self._producer.transaction():
            await self._producer.send_and_wait(RUN_COMPLETED, json.dumps(value).encode(), key=run_id.encode())
        return value

    async def abort(self, run_id: str) -> None:
        """Publishes a completion in a transaction that is aborted, as a fenced quality service does."""
        await self._producer.begin_transaction()
        value = json.dumps(completed(run_id, "failed")).encode()
        await self._producer.send_and_wait(RUN_COMPLETED, value, key=run_id.encode())
        await self._producer.abort_transaction()

    async def publish_garbage(self) -> None:
        async with self._producer.transaction():
            for value in (b"\xff\x00", b"[1]", b"null", None):
                await self._producer.send_and_wait(RUN_COMPLETED, value, key=b"garbage")


def completed(run_id: str, status: str = "succeeded", **changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    return {
        "run_id": run_id,
        "status": status,
        "reason": None,
        "requested_at": now,
        "started_at": now,
        "finished_at": now,
        "datasets": {"posts": {"batches": 1, "rows_crawled": 100, "rows_accepted": 100, "rows_loaded": 100}},
        "checks": [],
        "dead": [],
        "missing": [],
    } | changes
