"""The list of bad events, on every topic that a service reads: none is skipped, none stops its partition."""

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from deploy.local.stack import LocalStack
from shared.events import ids
from shared.events.topology import SERVICES
from tests.e2e.test_whole_way import EVERYTHING, new_run
from tests.support import foreign_headers
from tests.support.pipeline import DeadLetter, Pipeline

pytestmark = pytest.mark.e2e

PARTITIONS = 6
REQUESTS = "crawl.requested"
READERS: Mapping[str, Sequence[str]] = {
    REQUESTS: ("crawler",),
    "crawl.batch.requested": ("crawler",),
    "crawl.planned": ("quality",),
    "batch.crawled": ("processor", "quality"),
    "batch.processed": ("converter", "loader", "s3sink", "quality"),
    "batch.converted": ("quality",),
    "batch.loaded": ("quality",),
    "batch.stored": ("quality",),
    "batch.failed": ("quality",),
    "run.sealed": ("s3sink",),
    "run.drained": ("quality",),
    "exports.combine.requested": ("converter",),
    "exports.combined": ("quality",),
    **{f"{service}.retry": (service,) for service in SERVICES},
}

MIB = 2**20
LARGEST_DEAD_LETTER = 1_900_000
"""A value of at most this many bytes is whole in its dead letter."""

Headers = tuple[tuple[str, bytes | None], ...]
FOREIGN = foreign_headers.ALL


@dataclass(frozen=True)
class Bad:
    """A record of another program, and the reason code of its dead letter."""

    name: str
    value: bytes | None
    reason: str
    headers: Headers = (("traceparent", b"00-ab-cd-01"), ("twice", b"1"), ("twice", b"2"))
    key: bytes | None = b"unknown batch"

    @property
    def is_object(self) -> bool:
        """A record that is a request: its run ends as failed with a reason, and there is no dead letter."""
        return self.value is not None and self.value.startswith(b"{") and self.reason in {"schema", "version"}


def of_size(size: int) -> bytes:
    return b'{"run_id": "' + b"x" * (size - 14) + b'"}'


BAD = (
    Bad("empty", b"", "decode"),
    Bad("tombstone", None, "decode"),
    Bad("tombstone without a key", None, "decode", key=None),
    Bad("cut off", b'{"run_id": "x', "decode"),
    Bad("two documents", b"{}{}", "decode"),
    Bad("trailing comma", b'{"run_id": "x",}', "decode"),
    Bad("NUL", b"\x00", "decode"),
    Bad("no UTF-8", b"\xff\xfe\xfa", "decode"),
    Bad("no UTF-8 in a text", b'{"run_id": "\xff"}', "decode"),
    Bad("UTF-16", '{"run_id": "x"}'.encode("utf-16"), "decode"),
    Bad("byte order mark", b"\xef\xbb\xbf{}", "decode"),
    Bad("lone surrogate", b'{"run_id": "\\ud800"}', "decode"),
    Bad("NaN", b'{"rows": NaN}', "decode"),
    Bad("too deep", b"[" * 5000 + b"]" * 5000, "decode"),
    Bad("deeper than is written", b'{"x": ' + b"[" * 300 + b"]" * 300 + b"}", "decode"),
    Bad("HTML", b"<!doctype html><h1>502</h1>", "decode"),
    Bad("list", b"[]", "schema"),
    Bad("null", b"null", "schema"),
    Bad("number", b"1", "schema"),
    Bad("text", b'"posts"', "schema"),
    Bad("true", b"true", "schema"),
    Bad("empty object", b"{}", "schema"),
    Bad("unknown field", b'{"more": true}', "schema"),
    Bad("wrong type", b'{"run_id": 5}', "schema"),
    Bad("path as an id", b'{"run_id": "../up"}', "schema"),
    Bad("huge number", b'{"batches": 1' + b"0" * 400 + b"}", "decode"),
    Bad("later version", b'{"version": 2}', "version"),
    Bad("version as text", b'{"version": "1"}', "version"),
    Bad("version true", b'{"version": true}', "version"),
    Bad("null header", b"{}", "schema", headers=(("x", None),)),
    Bad("header that is not UTF-8", b"{}", "schema", headers=(("x", b"\xff"),)),
    Bad("foreign headers", b"[]", "schema", headers=FOREIGN),
    Bad("foreign headers and no JSON", b"{", "decode", headers=FOREIGN),
    Bad("foreign headers on a request", b'{"version": 2}', "version", headers=FOREIGN),
    Bad("key that is not UTF-8", b"[]", "schema", key=b"\xff\xfe"),
    Bad("long key", b"[]", "schema", key=b"k" * 30_000),
    Bad("forged dead letter", b"[]", "schema", headers=(("dlq.reason_code", b"fetch"), ("x", b"1"))),
    Bad("at the cap", of_size(1_000_000), "schema"),
    Bad("above the cap", of_size(1_000_001), "too_large"),
    Bad("1 MiB - 1", of_size(MIB - 1), "too_large"),
    Bad("1 MiB", of_size(MIB), "too_large"),
    Bad("1 MiB + 1", of_size(MIB + 1), "too_large"),
    Bad("5 MB, squeezed", of_size(5_000_000), "too_large"),
)


@dataclass(frozen=True)
class Sent:
    bad: Bad
    topic: str
    partition: int
    offset: int
    timestamp_ms: int

    def place(self) -> tuple[str, int, int]:
        return (self.topic, self.partition, self.offset)

    @property
    def ends_as_a_run(self) -> bool:
        return self.topic == REQUESTS and self.bad.is_object

    @property
    def run_id(self) -> str:
        appended = datetime.fromtimestamp(self.timestamp_ms / 1000, UTC)
        return ids.run_id_of_record(self.topic, self.partition, self.offset, self.timestamp_ms, appended)

    @property
    def reason(self) -> str:
        """On a retry topic a record without the values of a retry is not read further."""
        return "decode" if self.topic.endswith(".retry") else self.bad.reason


async def send_all(pipeline: Pipeline) -> list[Sent]:
    """Every bad event to every topic, in turns over its partitions. Compressed, as a large one must be to get in."""
    producer = AIOKafkaProducer(
        bootstrap_servers=pipeline.servers, acks="all", max_request_size=8 * MIB, compression_type="gzip"
    )
    async with producer:
        return [
            await send(producer, topic, number, bad) for topic in READERS for number, bad in enumerate(BAD)
        ]


async def send(producer: AIOKafkaProducer, topic: str, number: int, bad: Bad) -> Sent:
    partition = 0 if topic == REQUESTS else number % PARTITIONS
    # As a batch of one: aiokafka itself refuses to send what has neither key nor value.
    batch = producer.create_batch()
    batch.append(timestamp=None, key=bad.key, value=bad.value, headers=list(bad.headers))
    done = await (await producer.send_batch(batch, topic, partition=partition))
    return Sent(bad, topic, done.partition, done.offset, done.timestamp)


def place_of(dead_letter: DeadLetter) -> tuple[str, int, int]:
    headers = dict(dead_letter.headers)
    topic, partition, offset = (
        (headers[f"dlq.original.{name}"] or b"").decode() for name in ("topic", "partition", "offset")
    )
    return topic, int(partition), int(offset)


async def lags(pipeline: Pipeline) -> Iterator[tuple[str, TopicPartition, int]]:
    """The lag of every group on each partition that it reads."""
    admin = AIOKafkaAdminClient(bootstrap_servers=pipeline.servers)
    consumer = AIOKafkaConsumer(bootstrap_servers=pipeline.servers)
    await admin.start()
    await consumer.start()
    try:
        found = []
        for service in SERVICES:
            offsets = await admin.list_consumer_group_offsets(f"onpoint-{service}")
            partitions = [
                TopicPartition(topic, number)
                for topic, readers in READERS.items()
                if service in readers
                for number in range(1 if topic == REQUESTS else PARTITIONS)
            ]
            ends = await consumer.end_offsets(partitions)
            found += [
                (service, tp, ends[tp] - (offsets[tp].offset if tp in offsets else 0)) for tp in partitions
            ]
        return iter(found)
    finally:
        await consumer.stop()
        await admin.close()


async def dead_letters_at(
    pipeline: Pipeline, service: str, places: set[tuple[str, int, int]]
) -> list[tuple[tuple[str, int, int], DeadLetter]]:
    found = [(place_of(dead_letter), dead_letter) for dead_letter in await pipeline.all_dead_letters(service)]
    return [(place, dead_letter) for place, dead_letter in found if place in places]


def own_headers(headers: Headers) -> Headers:
    """The record's own headers, which precede those of the dead letter."""
    return headers[: max(place for place, (name, _) in enumerate(headers) if name == "dlq.original.topic")]


def assert_intact(dead_letter: DeadLetter, bad: Bad) -> None:
    """The record's own key, value and headers; of a value too large for a dead letter, its beginning and its length."""
    own = own_headers(dead_letter.headers)
    assert (dead_letter.key, own) == (bad.key, bad.headers), bad.name
    if (whole := dict(dead_letter.headers[len(own) :]).get("dlq.original.bytes")) is None:
        assert dead_letter.value == bad.value, bad.name
    else:
        assert bad.value is not None
        assert dead_letter.value is not None
        assert int(whole) == len(bad.value) > LARGEST_DEAD_LETTER
        assert bad.value.startswith(dead_letter.value)


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_every_bad_event_on_every_topic_is_one_dead_letter_and_none_stops_its_partition(
    stack: LocalStack, pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    async with pipeline.completions() as completions:
        sent = await send_all(pipeline)
        refused = {one.run_id for one in sent if one.ends_as_a_run}
        good = [new_run() for _ in range(6)]
        for run_id in good:
            await pipeline.request({"run_id": run_id, "datasets": list(EVERYTHING[:6])})
        ends = time.monotonic() + 90
        while stuck := [(service, tp, lag) for service, tp, lag in await lags(pipeline) if lag > 0]:
            assert time.monotonic() < ends, stuck
            await asyncio.sleep(0.5)
        ended = await completions.all(set(good), 60)
        missing = refused - {value["run_id"] for value in await completions.for_a_while(2)}
        assert not missing, [one.bad.name for one in sent if one.ends_as_a_run and one.run_id in missing]
        ended |= {value["run_id"]: value for value in completions.seen}
    assert {ended[run_id]["status"] for run_id in good} == {"succeeded"}
    assert {ended[run_id]["status"] for run_id in refused} == {"failed"}
    assert all(ended[run_id]["reason"] for run_id in refused)

    total = 0
    for service in SERVICES:
        mine = {one.place(): one for one in sent if service in READERS[one.topic] and not one.ends_as_a_run}
        found = await dead_letters_at(pipeline, service, set(mine))
        assert Counter(place for place, _ in found) == dict.fromkeys(mine, 1), service
        for place, dead_letter in found:
            bad, headers = mine[place].bad, dict(dead_letter.headers)
            assert_intact(dead_letter, bad)
            assert (headers["dlq.reason_code"] or b"").decode() == mine[place].reason, (bad.name, place)
            assert (headers["dlq.service"], headers["dlq.tries"]) == (service.encode(), b"1")
        total += len(found)
    with capsys.disabled():
        print(  # noqa: T201 - the figures
            f"\n{len(sent)} bad events of {len(BAD)} shapes on {len(READERS)} topics: {total} dead letters, "
            f"{len(refused)} refused runs, {time.monotonic() - started:.1f} s"
        )
    assert len(sent) >= 300
    # Bad records from outside never open a circuit breaker.
    stack.wait_ready(*SERVICES, timeout_s=10)


def retried(service: str, topic: str, offset: int, **changes: bytes) -> Headers:
    """The headers of a record that a service sent to its retry topic."""
    now = datetime.now(UTC).isoformat().encode()
    values = {
        "topic": topic.encode(),
        "partition": b"0",
        "offset": str(offset).encode(),
        "timestamp": b"1700000000000",
        "tries": b"1",
        "first_failed_at": now,
        "due_at": now,
        **changes,
    }
    return (("who", service.encode()), *((f"retry.{name}", value) for name, value in values.items()))


@pytest.mark.parametrize("service", SERVICES)
async def test_a_record_of_the_retry_topic_is_validated_as_one_of_its_own_topic(
    pipeline: Pipeline, service: str
) -> None:
    topic = next(name for name, readers in READERS.items() if service in readers and name != REQUESTS)
    offset = int(time.time() * 1000)
    records: list[tuple[Headers, str]] = [
        (retried(service, topic, offset), "decode"),
        (retried(service, "topic.without.reader", offset + 1), "schema"),
        (retried(service, topic, offset + 2, tries=b"many"), "decode"),
        (retried(service, topic, offset + 3, due_at=b"later"), "decode"),
        (retried(service, topic, offset + 4, partition=b"\xff"), "decode"),
    ]
    key = base64.b16encode(new_run().encode())
    async with AIOKafkaProducer(bootstrap_servers=pipeline.servers, acks="all") as producer:
        for number, (headers, _) in enumerate(records):
            await producer.send_and_wait(
                f"{service}.retry", b"{", key=key, headers=list(headers), partition=number % PARTITIONS
            )
    async with asyncio.timeout(30):
        while len(dead_letters := await pipeline.dead_letters(service, key)) < len(records):
            await asyncio.sleep(0.3)
    reasons = Counter(
        (dict(dead_letter.headers)["dlq.reason_code"] or b"").decode() for dead_letter in dead_letters
    )
    assert reasons == Counter(reason for _, reason in records)
    assert {dead_letter.value for dead_letter in dead_letters} == {b"{"}


async def test_a_request_is_taken_whatever_its_headers(pipeline: Pipeline) -> None:
    """A client's framework adds them by itself: a client that waits for such a run must not wait for ever."""
    asked: list[str] = []

    def request() -> bytes:
        asked.append(new_run())
        return json.dumps({"run_id": asked[-1], "datasets": ["users"]}).encode()

    async with (
        pipeline.completions() as completions,
        AIOKafkaProducer(bootstrap_servers=pipeline.servers, acks="all") as producer,
    ):
        for headers in (*foreign_headers.KINDS.values(), FOREIGN):
            await producer.send_and_wait(REQUESTS, request(), key=b"k", headers=list(headers))
        batch = producer.create_batch()
        foreign_headers.with_odd_name(batch, request(), codec=0)
        await (await producer.send_batch(batch, REQUESTS, partition=0))
        await producer.send_and_wait(REQUESTS, request(), key=b"k")
        ended = await completions.all(set(asked), 90)
    assert {ended[run_id]["status"] for run_id in asked} == {"succeeded"}
