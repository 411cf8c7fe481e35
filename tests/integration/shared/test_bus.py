"""The at-least-once policy on a real broker: nothing is skipped, nothing blocks for ever."""

import asyncio
import json
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shared.bus.bus import Bus
from shared.bus.record import Burial, Bury, Handler, Outgoing, Record, bury_alone
from shared.errors import PermanentError, TransientError
from shared.events.decode import decode_event
from shared.events.models import RunDrained
from shared.events.reasons import Reason
from shared.memory import Memory
from shared.settings import KafkaSettings

pytestmark = pytest.mark.integration

REQUESTED_AT = "2026-11-24T06:00:00Z"


def run_drained(run_id: str) -> bytes:
    return json.dumps({"run_id": run_id, "requested_at": REQUESTED_AT}).encode()


class Topics:
    """Topics of one test, and what is in them."""

    def __init__(self, servers: str) -> None:
        self.servers = servers
        self.service = f"svc{uuid.uuid4().hex[:8]}"
        self.input = f"{self.service}.in"
        self.output = f"{self.service}.out"
        self.retry = f"{self.service}.retry"
        self.dead = f"{self.service}.dlq"

    async def create(self, partitions: int = 2) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        await admin.create_topics(
            [
                NewTopic(self.input, partitions, 1),
                NewTopic(self.output, 1, 1),
                NewTopic(self.retry, 2, 1),
                NewTopic(self.dead, 1, 1, topic_configs={"max.message.bytes": "2097152"}),
            ]
        )
        await admin.close()

    async def send(self, *records: tuple[int, bytes | None, Sequence[tuple[str, bytes | None]]]) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.servers, acks="all") as producer:
            for partition, value, headers in records:
                await producer.send_and_wait(
                    self.input, value, partition=partition, key=b"k", headers=list(headers)
                )

    async def read(self, topic: str, *, isolation: str = "read_uncommitted") -> list[Record]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.servers,
            enable_auto_commit=False,
            isolation_level=isolation,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, p) for p in await self._partitions(consumer, topic)]
            consumer.assign(partitions)
            found: list[Record] = []
            while batch := await consumer.getmany(timeout_ms=700):
                for messages in batch.values():
                    found += [
                        Record(m.topic, m.partition, m.offset, m.timestamp, m.key, m.value, tuple(m.headers))
                        for m in messages
                    ]
            return found
        finally:
            await consumer.stop()

    async def lag(self) -> int:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.servers, group_id=f"onpoint-{self.service}", enable_auto_commit=False
        )
        await consumer.start()
        try:
            lag = 0
            for topic in (self.input, self.retry):
                for number in await self._partitions(consumer, topic):
                    partition = TopicPartition(topic, number)
                    end = (await consumer.end_offsets([partition]))[partition]
                    lag += end - (await consumer.committed(partition) or 0)
            return lag
        finally:
            await consumer.stop()

    async def drained(self, within_s: float) -> None:
        async with asyncio.timeout(within_s):
            while await self.lag():
                await asyncio.sleep(0.1)

    @staticmethod
    async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> list[int]:
        # Metadata of a topic that was not asked for before comes with the first look.
        while True:
            await consumer._client.add_topic(topic)  # noqa: SLF001 - aiokafka has no public way to ask
            if found := consumer.partitions_for_topic(topic):
                return sorted(found)
            await asyncio.sleep(0.05)


@pytest.fixture
async def topics(kafka_servers: str) -> Topics:
    made = Topics(kafka_servers)
    await made.create()
    return made


@asynccontextmanager
async def running(
    topics: Topics,
    handler: Handler,
    *,
    bury: Bury = bury_alone,
    transactional: bool = False,
    workers: int = 1,
) -> AsyncIterator[Bus]:
    faults: list[BaseException] = []
    bus = Bus(KafkaSettings(kafka_bootstrap_servers=topics.servers), topics.service, fatal=faults.append)
    if transactional:
        bus.subscribe_transactional(topics.input, handler=handler)
    else:
        bus.subscribe(topics.input, handler=handler, bury=bury, workers=workers)
    await bus.start()
    try:
        yield bus
    finally:
        await bus.stop()
        assert not faults


async def test_a_record_is_handled_its_output_published_and_its_offset_committed(topics: Topics) -> None:
    async def handler(record: Record) -> Sequence[Outgoing]:
        event = decode_event(RunDrained, record.value)
        return [Outgoing(topics.output, event.run_id, event)]

    await topics.send((0, run_drained("a"), []), (1, run_drained("b"), []))
    async with running(topics, handler):
        await topics.drained(10)
    assert sorted(r.key or b"" for r in await topics.read(topics.output)) == [b"a", b"b"]
    assert not await topics.read(topics.dead)


async def test_every_kind_of_bad_record_becomes_a_dead_letter_with_its_bytes_and_none_is_skipped(
    topics: Topics,
) -> None:
    good = run_drained("good")
    bad: list[tuple[bytes | None, Sequence[tuple[str, bytes | None]], str]] = [
        (b"{", [], "decode"),
        (None, [], "decode"),
        (b"", [], "decode"),
        (b"[]", [], "schema"),
        (b"null", [], "schema"),
        (b'{"run_id": "x", "requested_at": "2026-11-24T06:00:00Z", "more": 1}', [], "schema"),
        (b'{"run_id": 5, "requested_at": "2026-11-24T06:00:00Z"}', [], "schema"),
        (b'{"run_id": "x", "requested_at": "2026-11-24T06:00:00Z", "version": 2}', [], "version"),
        (b'{"run_id": "x", "requested_at": "2026-11-24T06:00:00Z", "version": "1"}', [], "version"),
        (good, [("h", b"\xff\xfe")], "decode"),
        (good, [("h", None)], "decode"),
        (b"\xff\xfe{\x00}\x00", [], "decode"),
    ]
    records = [(i % 2, value, headers) for i, (value, headers, _) in enumerate(bad)]
    handled: list[str] = []

    async def handler(record: Record) -> Sequence[Outgoing]:
        handled.append(decode_event(RunDrained, record.value).run_id)
        return ()

    await topics.send(
        (0, run_drained("first"), []), *records, (0, run_drained("last0"), []), (1, run_drained("last1"), [])
    )
    async with running(topics, handler):
        await topics.drained(15)
    assert sorted(handled) == ["first", "last0", "last1"]
    dead = await topics.read(topics.dead)
    assert Counter(r.value for r in dead) == Counter(value for value, _, _ in bad)
    reasons = Counter(dict(r.headers)["dlq.reason_code"] for r in dead)
    assert reasons == Counter(reason.encode() for _, _, reason in bad)
    places = {
        (dict(r.headers)["dlq.original.partition"], dict(r.headers)["dlq.original.offset"]) for r in dead
    }
    assert len(places) == len(bad)


async def test_what_was_cancelled_is_buried_and_announced_but_leaves_no_dead_letter(topics: Topics) -> None:
    buried: list[int] = []

    async def handler(_record: Record) -> Sequence[Outgoing]:
        raise PermanentError(Reason.CANCELLED, "the run was cancelled")

    async def bury(record: Record, _error: PermanentError) -> Burial:
        buried.append(record.offset)
        event = decode_event(RunDrained, record.value)
        return Burial(dead=True, announce=(Outgoing(topics.output, event.run_id, event),))

    await topics.send((0, run_drained("a"), []))
    async with running(topics, handler, bury=bury):
        await topics.drained(10)
    assert buried == [0]
    assert len(await topics.read(topics.output)) == 1
    assert not await topics.read(topics.dead)


async def test_a_dead_letter_keeps_key_and_headers_and_says_what_happened(topics: Topics) -> None:
    async def handler(_record: Record) -> Sequence[Outgoing]:
        raise PermanentError(Reason.CHECKSUM, "bytes differ")

    value = json.dumps({"run_id": "r1", "batch_id": "b1"}).encode()
    await topics.send((0, value, [("traceparent", b"00-ab"), ("twice", b"1"), ("twice", b"2")]))
    async with running(topics, handler):
        await topics.drained(10)
    (dead,) = await topics.read(topics.dead)
    headers = dict(dead.headers)
    assert dead.key == b"k"
    assert [v for k, v in dead.headers if k == "twice"] == [b"1", b"2"]
    expected = {
        "dlq.original.topic": topics.input.encode(),
        "dlq.original.partition": b"0",
        "dlq.original.offset": b"0",
        "dlq.original.key": b"k",
        "dlq.consumer_group": f"onpoint-{topics.service}".encode(),
        "dlq.service": topics.service.encode(),
        "dlq.tries": b"1",
        "dlq.reason_code": b"checksum",
        "dlq.message": b"bytes differ",
        "dlq.run_id": b"r1",
        "dlq.batch_id": b"b1",
        "dlq.trace_id": b"00-ab",
    }
    assert {name: headers[name] for name in expected} == expected
    assert {
        "dlq.original.timestamp",
        "dlq.exception",
        "dlq.stacktrace_sha",
        "dlq.first_failed_at",
        "dlq.failed_at",
        "dlq.schema_version",
        "dlq.stage",
    } <= set(headers)


async def test_while_memory_is_tight_one_record_at_a_time_is_in_hand(topics: Topics) -> None:
    in_hand = most = done = 0

    async def handler(_: Record) -> Sequence[Outgoing]:
        nonlocal in_hand, most, done
        in_hand += 1
        most = max(most, in_hand)
        await asyncio.sleep(0.3)
        in_hand, done = in_hand - 1, done + 1
        return ()

    async with running(topics, handler, workers=2) as bus:
        bus.mind_memory(Memory(limit_bytes=100, used_bytes=90))
        await topics.send(*((number % 2, run_drained(f"run-{number}"), ()) for number in range(4)))
        await topics.drained(30)
        assert (most, done) == (1, 4)
        bus.mind_memory(Memory(limit_bytes=100, used_bytes=10))
        await topics.send(*((number % 2, run_drained(f"more-{number}"), ()) for number in range(4)))
        await topics.drained(30)
        assert (most, done) == (2, 8)


async def test_an_outage_of_ours_pauses_and_goes_on_by_itself_and_never_makes_a_dead_letter(
    topics: Topics,
) -> None:
    tries: Counter[str] = Counter()
    order: list[str] = []

    async def handler(record: Record) -> Sequence[Outgoing]:
        run_id = decode_event(RunDrained, record.value).run_id
        tries[run_id] += 1
        if run_id == "stuck" and tries[run_id] <= 8:
            raise TransientError("the database is away")
        order.append(run_id)
        return ()

    await topics.send(
        (0, run_drained("stuck"), []), (0, run_drained("behind"), []), (1, run_drained("other"), [])
    )
    async with running(topics, handler) as bus:
        async with asyncio.timeout(10):
            while "other" not in order:
                await asyncio.sleep(0.05)
            while not any("paused since" in line for line in bus.complaints()):
                await asyncio.sleep(0.05)
        await topics.drained(30)
        assert not bus.complaints()
    assert order == ["other", "stuck", "behind"]
    assert tries["stuck"] == 9
    assert not await topics.read(topics.dead)


@pytest.mark.parametrize("workers", [1, 2])
async def test_an_unknown_error_is_tried_five_times_while_its_partition_goes_on(
    topics: Topics, workers: int
) -> None:
    tries: list[tuple[str, float]] = []

    async def handler(record: Record) -> Sequence[Outgoing]:
        assert (record.topic, record.partition) == (topics.input, 0)
        run_id = decode_event(RunDrained, record.value).run_id
        tries.append((run_id, time.monotonic()))
        if run_id == "poison":
            raise ZeroDivisionError
        return ()

    await topics.send((0, run_drained("poison"), [("mine", b"1")]), (0, run_drained("behind"), []))
    async with running(topics, handler, workers=workers):
        await topics.drained(40)
    assert [run_id for run_id, _ in tries].index("behind") == 1
    times = [at for run_id, at in tries if run_id == "poison"]
    assert len(times) == 5
    assert all(later - earlier >= 1 for earlier, later in pairwise(times))
    (dead,) = await topics.read(topics.dead)
    headers = dict(dead.headers)
    assert headers["dlq.reason_code"] == b"handler"
    assert headers["dlq.tries"] == b"5"
    assert headers["dlq.original.topic"] == topics.input.encode()
    assert headers["dlq.original.offset"] == b"0"
    assert [name for name in headers if not name.startswith("dlq.")] == ["mine"]


async def test_retry_headers_on_another_topic_are_not_believed(topics: Topics) -> None:
    tries: Counter[str] = Counter()

    async def handler(record: Record) -> Sequence[Outgoing]:
        tries[record.topic] += 1
        raise ZeroDivisionError

    spoofed = [("retry.tries", b"999"), ("retry.topic", b"crawl.requested"), ("x-retry-count", b"999")]
    await topics.send((0, run_drained("a"), spoofed))
    async with running(topics, handler):
        await topics.drained(40)
    assert tries == {topics.input: 5}


async def test_garbage_on_the_retry_topic_is_dead_at_once(topics: Topics) -> None:
    async def handler(_record: Record) -> Sequence[Outgoing]:
        raise AssertionError

    async with AIOKafkaProducer(bootstrap_servers=topics.servers) as producer:
        await producer.send_and_wait(topics.retry, b"x", key=b"k")
        await producer.send_and_wait(topics.retry, b"y", key=b"k", headers=[("retry.tries", b"many")])
    async with running(topics, handler):
        await topics.drained(10)
    assert [record.value for record in await topics.read(topics.dead)] == [b"x", b"y"]


async def test_when_everything_fails_the_brake_stops_the_service_and_a_probe_that_works_releases_it(
    topics: Topics,
) -> None:
    broken = True
    done: set[str] = set()

    async def handler(record: Record) -> Sequence[Outgoing]:
        if broken:
            raise ZeroDivisionError
        done.add(decode_event(RunDrained, record.value).run_id)
        return ()

    names = {f"r{n}" for n in range(40)}
    await topics.send(*[(n % 2, run_drained(name), []) for n, name in enumerate(sorted(names))])
    async with running(topics, handler) as bus:
        async with asyncio.timeout(60):
            while not any("brake" in line for line in bus.complaints()):
                await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        dead = {json.loads(record.value or b"")["run_id"] for record in await topics.read(topics.dead)}
        assert len(dead) <= 10
        broken = False
        await topics.drained(60)
        assert not bus.complaints()
    assert done == names - dead


async def test_a_cancelled_helper_task_does_not_end_the_consumer(topics: Topics) -> None:
    tries: list[int] = []

    async def handler(_record: Record) -> Sequence[Outgoing]:
        tries.append(1)
        if len(tries) == 1:
            helper = asyncio.create_task(asyncio.sleep(10))
            helper.cancel()
            await helper
        return ()

    await topics.send((0, run_drained("a"), []), (1, run_drained("b"), []))
    async with running(topics, handler) as bus:
        await topics.drained(15)
        assert not bus.dead_loops()
    assert len(tries) == 3


async def test_a_second_member_waits_until_what_is_in_flight_is_committed(topics: Topics) -> None:
    runs: Counter[str] = Counter()
    active: set[str] = set()

    async def handler(record: Record) -> Sequence[Outgoing]:
        run_id = decode_event(RunDrained, record.value).run_id
        assert run_id not in active
        active.add(run_id)
        runs[run_id] += 1
        await asyncio.sleep(1.5)
        active.discard(run_id)
        return ()

    await topics.send(*[(i % 2, run_drained(f"r{i}"), []) for i in range(6)])
    async with running(topics, handler):
        await asyncio.sleep(0.8)
        async with running(topics, handler):
            await topics.drained(30)
    assert runs == {f"r{i}": 1 for i in range(6)}


async def test_a_transaction_holds_output_and_offset_together(topics: Topics) -> None:
    tries: list[int] = []

    async def handler(record: Record) -> Sequence[Outgoing]:
        event = decode_event(RunDrained, record.value)
        tries.append(1)
        if len(tries) == 1:
            raise TransientError("not yet")
        return [Outgoing(topics.output, event.run_id, event)]

    await topics.send((0, run_drained("a"), []), (1, b"{", []), (1, run_drained("b"), []))
    async with running(topics, handler, transactional=True):
        async with asyncio.timeout(20):
            while len(await topics.read(topics.output, isolation="read_committed")) < 2:
                await asyncio.sleep(0.1)
    found = await topics.read(topics.output, isolation="read_committed")
    assert sorted(r.key or b"" for r in found) == [b"a", b"b"]
    assert [r.value for r in await topics.read(topics.dead)] == [b"{"]


async def test_a_subscriber_that_could_lose_records_stops_the_start(topics: Topics) -> None:
    bus = Bus(KafkaSettings(kafka_bootstrap_servers=topics.servers), topics.service, fatal=lambda _: None)
    bus._broker.subscriber(topics.input, group_id="g")(lambda _: None)  # noqa: SLF001 - the mistake to be caught
    with pytest.raises(AssertionError, match="could lose records"):
        await bus.start()
