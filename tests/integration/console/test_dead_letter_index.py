"""Dead letters are indexed once: a queue that is kept open reads what came since, and what was done meanwhile."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from console.client.dead_letters.index import DeadLetterIndex
from console.client.dead_letters.journal import open_journal
from console.client.dead_letters.queue import Entry, Filters
from console.client.dead_letters.topics import DeadLetterTopics, open_dead_letters
from shared.bus.dead_letters import Failure, dead_letter_headers
from shared.bus.messages import Record
from shared.errors import PermanentError
from shared.reasons import Reason
from tests.support.bus import plain_kafka

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)


@dataclass
class Letters:
    """Dead letters of the converter, of a run of the test's own."""

    producer: AIOKafkaProducer
    run_id: str

    async def write(self, number: int) -> None:
        batch_id = f"{self.run_id}-{number}"
        value = json.dumps({"run_id": self.run_id, "batch_id": batch_id}).encode()
        record = Record("batch.processed", 0, number, 1_795_000_000_000, batch_id.encode(), value, ())
        failure = Failure(PermanentError(Reason.CHECKSUM, "other bytes"), 1, NOW, NOW)
        headers = dead_letter_headers(record, failure, service="converter", group="onpoint-converter")
        await self.producer.send_and_wait("converter.dlq", value, key=record.key, headers=headers)


@pytest.fixture
async def letters(kafka_servers: str) -> AsyncIterator[Letters]:
    async with AIOKafkaProducer(bootstrap_servers=kafka_servers, acks="all") as producer:
        yield Letters(producer, f"test-{uuid.uuid4().hex}")


class Counting(DeadLetterTopics):
    """Counts what is read of the topics."""

    records = 0

    async def of(
        self, services: Collection[str], start: Mapping[TopicPartition, int] | None = None
    ) -> AsyncIterator[tuple[str, list[Record]]]:
        async for service, records in super().of(services, start):
            self.records += len(records)
            yield service, records


@pytest.fixture
async def topics(kafka_servers: str) -> AsyncIterator[Counting]:
    async with open_dead_letters(plain_kafka(kafka_servers)) as opened:
        yield Counting(opened._consumer, opened._servers, opened._partitions)  # noqa: SLF001 - the same, counted


def entries(index: DeadLetterIndex, run_id: str) -> list[Entry]:
    return index.queue.oldest(Filters(run_id=run_id), 100)


async def test_a_refresh_reads_only_what_came_since(
    letters: Letters, topics: Counting, settings: dict[str, str], ledger: asyncpg.Connection
) -> None:
    await asyncio.gather(*(letters.write(number) for number in range(20)))
    index = DeadLetterIndex(topics, settings["ONPOINT_POSTGRES_DSN"], ["converter"])
    try:
        await index.refresh()
        assert len(entries(index, letters.run_id)) == 20
        read = topics.records
        await index.refresh()
        assert topics.records == read
        await letters.write(20)
        await index.refresh()
        assert (topics.records, len(entries(index, letters.run_id))) == (read + 1, 21)
        await ledger.execute(
            "INSERT INTO onpoint_runs.v_results (batch_id, stage, status) VALUES ($1, 'converter', 'done')",
            f"{letters.run_id}-20",
        )
        await index.refresh()
        states = {entry.dead_letter.batch_id: entry.state for entry in entries(index, letters.run_id)}
        assert states[f"{letters.run_id}-20"] == "resolved"
        assert states[f"{letters.run_id}-0"] == "open"
    finally:
        index.close()


async def test_an_order_has_one_row_for_each_letter_however_often_it_is_carried_out(
    letters: Letters, topics: Counting, settings: dict[str, str]
) -> None:
    await letters.write(0)
    await letters.write(1)
    dsn = settings["ONPOINT_POSTGRES_DSN"]
    index = DeadLetterIndex(topics, dsn, ["converter"])
    try:
        await index.refresh()
        both = [entry.dead_letter for entry in entries(index, letters.run_id)]
        async with open_journal(dsn) as journal:
            first = await journal.begin("discard", both[:1], actor="me", action_id="order-1")
            rest = await journal.begin("discard", both, actor="me", action_id="order-1")
            again = await journal.begin("discard", both, actor="me", action_id="order-1")
            assert (len(first), len(rest), again) == (1, 1, [])
            await journal.acknowledge([*first, *rest])
        await index.refresh()
        assert [entry.state for entry in entries(index, letters.run_id)] == ["discarded", "discarded"]
    finally:
        index.close()
