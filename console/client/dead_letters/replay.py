"""Redrives dead letters: sends each to the retry topic of the group that wrote it, marked as a replay."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError, RecordTooLargeError

from console.client.dead_letters.journal import Journal
from console.client.dead_letters.record import DeadLetter, Position, original_record
from console.client.dead_letters.topics import DeadLetterTopics
from console.client.kafka import as_client_errors, require_topic, stop
from shared.bus.kafka import KafkaClients, send_raw
from shared.bus.messages import Record
from shared.bus.retry_headers import replay_headers
from shared.events.topics import retry_topic

AT_ONCE = 100
MAX_RECORD_BYTES = 2_000_000
"""As the services': the most that a dead letter may have, and it is sent back unchanged."""

GONE = "Kafka no longer retains it"
NO_ORIGIN = "its headers do not name the topic, partition and offset it comes from"
TRUNCATED = "it was too large for its dead letter, which has only a part of it"
TOO_LARGE = "Kafka refuses a record of this size on the retry topic"


@dataclass(slots=True)
class Outcome:
    replayed: list[Position] = field(default_factory=list)
    refused: dict[Position, str] = field(default_factory=dict)
    """And why."""


class ReplayRate:
    """Keeps to a rate over the whole replay, whatever single pieces take."""

    def __init__(self, per_s: float | None) -> None:
        self._per_s = per_s
        self._began_s = 0.0
        self._sent = 0

    @property
    def at_once(self) -> int:
        """A piece lasts a second at most, so that slow is even."""
        return AT_ONCE if self._per_s is None else max(1, min(AT_ONCE, int(self._per_s)))

    async def wait_for(self, count: int) -> None:
        """Returns when `count` more may be sent."""
        now_s = asyncio.get_running_loop().time()
        self._began_s = self._began_s or now_s
        if self._per_s is not None:
            await asyncio.sleep(max(0.0, self._began_s + self._sent / self._per_s - now_s))
        self._sent += count


class Replayer:
    def __init__(self, producer: AIOKafkaProducer, journal: Journal, servers: str, actor: str) -> None:
        self._producer = producer
        self._journal = journal
        self._servers = servers
        self._actor = actor

    async def replay(
        self,
        dead_letters: Sequence[DeadLetter],
        source: DeadLetterTopics,
        rate: ReplayRate,
        outcome: Outcome,
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        """Fills `outcome` as it goes, so that it is true however this ends. `on_progress` is called after every piece.

        Each is noted in the journal, sent, and acknowledged in the journal, in this order: what was sent is always
        noted, and what is only noted still counts as open. Raises `ClientError` in an outage.
        """
        await self._require_topics({dead_letter.position.service for dead_letter in dead_letters})
        by_position = {dead_letter.position: dead_letter for dead_letter in dead_letters}
        async for piece in _pieces(source, sorted(by_position), rate.at_once):
            sendable = []
            for position, raw in piece:
                record = original_record(by_position[position], raw)
                if record is None:
                    outcome.refused[position] = NO_ORIGIN
                elif by_position[position].is_truncated:
                    outcome.refused[position] = TRUNCATED
                else:
                    sendable.append((by_position[position], record))
            if sendable:
                await rate.wait_for(len(sendable))
                await self._send(sendable, outcome)
            on_progress()
        for position in by_position.keys() - outcome.refused.keys() - set(outcome.replayed):
            outcome.refused[position] = GONE

    async def _send(self, piece: Sequence[tuple[DeadLetter, Record]], outcome: Outcome) -> None:
        dead_letters = [dead_letter for dead_letter, _ in piece]
        ids = await self._journal.begin("replay", dead_letters, actor=self._actor)
        async with as_client_errors(self._servers):
            errors = await asyncio.gather(
                *(self._publish(dead_letter, record) for dead_letter, record in piece)
            )
        refused = {id_ for id_, error in zip(ids, errors, strict=True) if error}
        await self._journal.acknowledge([id_ for id_ in ids if id_ not in refused])
        for dead_letter, error in zip(dead_letters, errors, strict=True):
            if error:
                outcome.refused[dead_letter.position] = error
            else:
                outcome.replayed.append(dead_letter.position)

    async def _publish(self, dead_letter: DeadLetter, record: Record) -> str | None:
        """Acknowledged when it returns None; else why Kafka refused this one."""
        try:
            await send_raw(
                self._producer,
                retry_topic(dead_letter.position.service),
                record,
                replay_headers(record, now=datetime.now(UTC)),
            )
        except (MessageSizeTooLargeError, RecordTooLargeError):
            return TOO_LARGE
        return None

    async def _require_topics(self, services: set[str]) -> None:
        async with as_client_errors(self._servers):
            existing = (await self._producer.client.fetch_all_metadata()).topics()
        for service in services:
            require_topic(retry_topic(service), existing, self._servers)


async def _pieces(
    source: DeadLetterTopics, positions: Sequence[Position], size: int
) -> AsyncIterator[Sequence[tuple[Position, Record]]]:
    piece: list[tuple[Position, Record]] = []
    async for found in source.at(positions):
        piece.append(found)
        if len(piece) >= size:
            yield piece
            piece = []
    if piece:
        yield piece


@asynccontextmanager
async def open_replayer(kafka: KafkaClients, journal: Journal, *, actor: str) -> AsyncIterator[Replayer]:
    """Not idempotent on purpose: a replay may come twice, and a refused record must not poison the others."""
    producer = kafka.producer(
        acks="all", compression_type="lz4", linger_ms=5, max_request_size=MAX_RECORD_BYTES
    )
    try:
        async with as_client_errors(kafka.servers):
            await kafka.start(producer)
        yield Replayer(producer, journal, kafka.servers, actor)
    finally:
        await stop(producer)
