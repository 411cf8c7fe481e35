"""What Kafka has: a digest of every record of every topic, and the committed offsets of each group."""

import contextlib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from console.client.dead_letters.record import DeadLetter, original_record, to_dead_letter
from console.client.errors import ClientError
from console.client.kafka import as_client_errors, groupless_consumer, stop
from shared.bus.kafka import KafkaClients, to_record
from shared.bus.messages import Record
from shared.bus.retry_headers import next_attempt
from shared.errors import PermanentError
from shared.events import topics
from shared.events.ids import is_run_id, run_id_of_record
from shared.events.topics import consumer_group, dead_letter_topic, retry_topic
from shared.events.topology import CONSUMES, SERVICES

POLL_MS = 500
RECORDS_AT_ONCE = 1000
SILENT_POLLS = 20

RecordRef = tuple[str, int, int]
"""Topic, partition, offset."""


@dataclass(frozen=True, slots=True)
class RecordDigest:
    """A record, without its payload."""

    place: RecordRef
    fields: Mapping[str, Any]
    """The fields of its value that the checks need; empty where it is not a JSON object."""
    content: str
    """Digest of key, value and the headers it brought."""
    value: str | None
    """Digest of the value alone; None for a tombstone."""
    retried: "RecordDigest | None" = None
    """The record that one of a retry topic stands for."""

    def __str__(self) -> str:
        return name_of(self.place)


@dataclass(frozen=True, slots=True)
class DeadLetterDigest:
    """A dead letter, without its payload."""

    dead_letter: DeadLetter
    headers: frozenset[str]
    original: RecordDigest | None
    """The record as it is in the dead letter; None where the dead letter does not name it."""

    @property
    def place(self) -> tuple[str, RecordRef] | None:
        """Whose record it was, and which."""
        return None if self.original is None else (self.dead_letter.position.service, self.original.place)

    def __str__(self) -> str:
        return f"dead letter {self.dead_letter.position}"


@dataclass(slots=True)
class Bus:
    """Every record that was read, and where each log and each group stood."""

    records: dict[RecordRef, RecordDigest] = field(default_factory=dict)
    """Dead letters are not among them."""
    dead_letters: list[DeadLetterDigest] = field(default_factory=list)
    completions: list[tuple[RecordDigest, dict[str, Any]]] = field(default_factory=list)
    """As a consumer with `read_committed` reads them."""
    begins: dict[TopicPartition, int] = field(default_factory=dict)
    lasts: dict[TopicPartition, int] = field(default_factory=dict)
    """Offset of the last record of each partition that has one: markers of transactions come after it."""
    ends: dict[TopicPartition, int] = field(default_factory=dict)
    committed: dict[str, dict[TopicPartition, int]] = field(default_factory=dict)
    """By service."""


def name_of(place: RecordRef) -> str:
    topic, partition, offset = place
    return f"record {topic}-{partition} offset {offset}"


async def read_bus(kafka: KafkaClients) -> Bus:
    """Every topic as it is now. Memory is some hundred bytes of each record.

    Raises `ClientError` when Kafka does not answer, or lacks a topic.
    """
    bus = Bus()
    consumer = groupless_consumer(kafka, isolation_level="read_committed", fetch_max_wait_ms=100)
    try:
        async with as_client_errors(kafka.servers):
            partitions = await _positions_of_groups(kafka, bus)
            await kafka.start(consumer)
            bus.begins = dict(await consumer.beginning_offsets(partitions))
            bus.ends = dict(await consumer.end_offsets(partitions))
        filled = [tp for tp in partitions if bus.begins[tp] < bus.ends[tp]]
        consumer.assign(filled)
        for tp in filled:
            consumer.seek(tp, bus.begins[tp])
        await _read(consumer, filled, bus, kafka.servers)
    finally:
        await stop(consumer)
    return bus


async def _positions_of_groups(kafka: KafkaClients, bus: Bus) -> list[TopicPartition]:
    """Every partition of the pipeline's topics. Reads what each group has committed."""
    wanted = {topics.RUN_COMPLETED}
    for service, names in CONSUMES.items():
        wanted |= {*names, retry_topic(service), dead_letter_topic(service)}
    admin = kafka.admin()
    try:
        await kafka.start(admin)
        if missing := sorted(wanted - set(await admin.list_topics())):
            raise ClientError(
                f"Kafka at {kafka.servers} has no topic {', '.join(missing)}: run `onpoint topics apply`"
            )
        for service in SERVICES:
            offsets = await admin.list_consumer_group_offsets(consumer_group(service))
            bus.committed[service] = {tp: meta.offset for tp, meta in offsets.items()}
        described = await admin.describe_topics(sorted(wanted))
    finally:
        await admin.close()
    return [
        TopicPartition(topic["topic"], partition["partition"])
        for topic in described
        for partition in topic["partitions"]
    ]


async def _read(consumer: AIOKafkaConsumer, filled: Sequence[TopicPartition], bus: Bus, servers: str) -> None:
    left, silent = list(filled), 0
    while left:
        async with as_client_errors(servers):
            found = await consumer.getmany(*left, timeout_ms=POLL_MS, max_records=RECORDS_AT_ONCE)
        silent = 0 if found else silent + 1
        if silent > SILENT_POLLS:
            raise ClientError(f"Kafka at {servers} stopped answering while {left[0].topic} was read")
        for tp, raws in found.items():
            _keep(bus, tp, [to_record(raw) for raw in raws if raw.offset < bus.ends[tp]])
        left = [tp for tp in left if await consumer.position(tp) < bus.ends[tp]]


def _keep(bus: Bus, tp: TopicPartition, records: Iterable[Record]) -> None:
    dead_of = {dead_letter_topic(service): service for service in SERVICES}
    for record in records:
        bus.lasts[tp] = record.offset
        if tp.topic in dead_of:
            dead_letter = to_dead_letter(record, dead_of[tp.topic])
            original = original_record(dead_letter, record)
            names = frozenset(name for name, _ in record.headers)
            bus.dead_letters.append(
                DeadLetterDigest(dead_letter, names, None if original is None else digest_of(original))
            )
            continue
        digest = digest_of(record)
        bus.records[digest.place] = digest
        if tp.topic == topics.RUN_COMPLETED:
            bus.completions.append((digest, _document(record.value) or {}))


def digest_of(record: Record) -> RecordDigest:
    """Keeps no payload. `retried` stays None where a record of a retry topic cannot be read."""
    retried = None
    if record.topic.endswith(".retry"):
        with contextlib.suppress(PermanentError):
            retried = digest_of(next_attempt(record).record)
    place = (record.topic, record.partition, record.offset)
    value = None if record.value is None else hashlib.sha256(record.value).hexdigest()
    return RecordDigest(place, _fields(record), content(record), value, retried)


def content(record: Record) -> str:
    """Equal for records of the same key, value and headers, wherever they lie. Empty and null differ."""
    digest = hashlib.sha256()
    for part in (
        record.key,
        record.value,
        *(part for name, value in record.headers for part in (name.encode(), value)),
    ):
        digest.update(b"-" if part is None else b"%d:" % len(part) + part)
    return digest.hexdigest()


def _fields(record: Record) -> dict[str, Any]:
    document = _document(record.value)
    is_request = record.topic == topics.CRAWL_REQUESTED and document is not None
    document = document or {}
    fields: dict[str, Any] = {
        name: document[name]
        for name in (
            "run_id",
            "batch_id",
            "dataset",
            "stage",
            "status",
            "sequence",
            "version",
            "reason",
            "format",
        )
        if isinstance(document.get(name), str | int)
    }
    work = document.get("work")
    if isinstance(work, dict):
        fields["kind"] = work.get("kind")
    asked = document.get("run_id")
    if is_request and not (isinstance(asked, str) and is_run_id(asked)):
        fields["run_id"] = run_id_of_record(
            record.topic, record.partition, record.offset, record.timestamp_ms, record.appended_at
        )
    return fields


def _document(value: bytes | None) -> dict[str, Any] | None:
    """None: it is not a JSON object."""
    try:
        document = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None
