"""What must not block a partition for ever: failures that cannot be committed, retries that do not fit, slow fences."""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError

from shared.bus import delivery
from shared.bus.messages import FailureOutcome, Outgoing, Record
from shared.bus.retry_headers import first_attempt, retry_headers
from shared.errors import PermanentError
from shared.events.decode import decode_event
from shared.events.models import RunDrained
from tests.support.bus import Topics, joined, run_drained, running

pytestmark = pytest.mark.integration


async def test_a_record_whose_failure_cannot_be_committed_leaves_a_dead_letter_and_its_partition_goes_on(
    topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "RETRY_DELAY_S", 0.05)
    marks: list[bytes | None] = []

    async def handler(record: Record) -> Sequence[Outgoing]:
        event = decode_event(RunDrained, record.value)
        return [Outgoing(topics.output, event.run_id, event)]

    async def mark_failed(record: Record, _error: PermanentError) -> FailureOutcome:
        marks.append(record.value)
        raise ZeroDivisionError

    async with running(topics, handler, mark_failed=mark_failed) as bus:
        await joined(bus)  # a new owner of the partition would count from the start
        await topics.send((0, b"nonsense", []), (0, run_drained("behind"), []))
        await topics.drained(60)
        assert bus.readiness_problems() == []
    assert marks == [b"nonsense"] * delivery.MAX_FAILED_MARKS
    assert [record.value for record in await topics.read(topics.dead)] == [b"nonsense"]
    assert [record.key for record in await topics.read(topics.output)] == [b"behind"]


async def test_a_record_too_large_for_another_try_is_dead_and_not_an_outage(topics: Topics) -> None:
    """The record just fits its own topic; with the retry headers it exceeds the largest message."""
    await set_largest_record(topics, topics.input, 4_000_000)
    tries: list[str] = []

    async def handler(record: Record) -> Sequence[Outgoing]:
        tries.append(record.topic)
        raise ZeroDivisionError

    large = ("mine", os.urandom(750_000).hex().encode())
    async with AIOKafkaProducer(bootstrap_servers=topics.servers, max_request_size=4_000_000) as producer:
        await send_once_taken(producer, topics.input, b"v" * 499_900, [large])
    async with running(topics, handler):
        await topics.drained(60)
    assert tries == [topics.input]
    (dead_letter,) = await topics.read(topics.dead)
    assert dict(dead_letter.headers)["dlq.reason_code"] == b"handler"
    assert dict(dead_letter.headers)["dlq.tries"] == b"1"


async def test_a_retry_that_is_due_in_a_thousand_years_is_due_now(topics: Topics) -> None:
    seen: list[bytes | None] = []

    async def handler(record: Record) -> Sequence[Outgoing]:
        seen.append(record.value)
        return ()

    record = Record(topics.input, 0, 0, 1, b"k", b"v", ())
    now = datetime.now(UTC)
    forged = retry_headers(first_attempt(record), first_failed_at=now, due_at=now + timedelta(days=365_000))
    async with AIOKafkaProducer(bootstrap_servers=topics.servers) as producer:
        await producer.send_and_wait(topics.retry, b"v", key=b"k", headers=forged)
    async with running(topics, handler):
        await topics.drained(60)
    assert seen == [b"v"]


async def test_transactions_that_could_not_be_opened_are_opened_by_the_first_record(
    topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker may be away for the moment between a partition's assignment and the fence for its old owner."""
    refused: list[str] = []
    start = AIOKafkaProducer.start

    async def start_second_time(producer: AIOKafkaProducer, *arguments: Any) -> None:
        transactional_id = producer._txn_manager and producer._txn_manager.transactional_id  # noqa: SLF001
        if transactional_id is not None and transactional_id not in refused:
            refused.append(transactional_id)
            raise KafkaConnectionError("away for a moment")
        await start(producer, *arguments)

    async def handler(record: Record) -> Sequence[Outgoing]:
        event = decode_event(RunDrained, record.value)
        return [Outgoing(topics.output, event.run_id, event)]

    await topics.send((0, run_drained("a"), []), (1, run_drained("b"), []))
    monkeypatch.setattr(AIOKafkaProducer, "start", start_second_time)
    async with running(topics, handler, transactional=True):
        async with asyncio.timeout(60):
            while len(await topics.read(topics.output, isolation="read_committed")) < 2:
                await asyncio.sleep(0.1)
    assert len(refused) == 2


async def send_once_taken(
    producer: AIOKafkaProducer, topic: str, value: bytes, headers: list[tuple[str, bytes]]
) -> None:
    """Sends until the broker takes it: a topic's new limit is confirmed before the partition's leader applies it."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(MessageSizeTooLargeError):
                await producer.send_and_wait(topic, value, headers=headers, partition=0)
                return
            await asyncio.sleep(0.1)


async def set_largest_record(topics: Topics, name: str, size: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=topics.servers)
    await admin.start()
    try:
        resource = ConfigResource(ConfigResourceType.TOPIC, name, configs={"max.message.bytes": str(size)})
        await admin.alter_configs([resource])
    finally:
        await admin.close()
