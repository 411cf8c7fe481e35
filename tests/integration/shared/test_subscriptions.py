"""The bus on a real broker: nothing is skipped, whatever happens to its tasks, its members and its outages."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from aiokafka import AIOKafkaProducer

from shared.bus.messages import Outgoing, Record
from shared.bus.retry_headers import replay_headers
from shared.errors import TransientError
from shared.events.decode import decode_event
from shared.events.models import RunDrained
from shared.runtime.memory import Memory
from tests.support.bus import Topics, bus_of, run_drained, running

pytestmark = pytest.mark.integration


async def test_a_record_is_handled_its_output_published_and_its_offset_committed(topics: Topics) -> None:
    async def handler(record: Record) -> Sequence[Outgoing]:
        event = decode_event(RunDrained, record.value)
        return [Outgoing(topics.output, event.run_id, event)]

    await topics.send((0, run_drained("a"), []), (1, run_drained("b"), []))
    async with running(topics, handler):
        await topics.drained(10)
    assert sorted(r.key or b"" for r in await topics.read(topics.output)) == [b"a", b"b"]
    assert not await topics.read(topics.dead)


async def test_partitions_that_are_added_are_read_seconds_later(topics: Topics) -> None:
    handled: list[bytes | None] = []

    async def handler(record: Record) -> Sequence[Outgoing]:
        handled.append(record.value)
        return ()

    async with running(topics, handler):
        await topics.send((0, b"before", ()))
        await topics.drained(10)
        await topics.grow_input(4)
        await topics.send((3, b"after", ()))
        async with asyncio.timeout(20):
            while len(handled) < 2:
                await asyncio.sleep(0.05)
    assert handled == [b"before", b"after"]


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
        bus.apply_memory_pressure(Memory(limit_bytes=100, used_bytes=90))
        await topics.send(*((number % 2, run_drained(f"run-{number}"), ()) for number in range(4)))
        await topics.drained(30)
        assert (most, done) == (1, 4)
        bus.apply_memory_pressure(Memory(limit_bytes=100, used_bytes=10))
        await topics.send(*((number % 2, run_drained(f"more-{number}"), ()) for number in range(4)))
        await topics.drained(30)
        assert (most, done) == (2, 8)


async def test_a_large_replay_delays_no_new_record(topics: Topics) -> None:
    replayed = 20
    order: list[bytes | None] = []

    async def handler(record: Record) -> Sequence[Outgoing]:
        if record.value == b"replayed":
            await asyncio.sleep(0.2)
        order.append(record.value)
        return ()

    headers = replay_headers(Record(topics.input, 0, 0, 1, b"k", b"replayed"), now=datetime.now(UTC))
    async with AIOKafkaProducer(bootstrap_servers=topics.servers) as producer:
        for _ in range(replayed):
            await producer.send_and_wait(topics.retry, b"replayed", key=b"k", headers=headers)
    async with running(topics, handler):
        async with asyncio.timeout(30):
            while not order:
                await asyncio.sleep(0.05)
        await topics.send((0, b"new", ()))
        await topics.drained(60)
    assert len(order) == replayed + 1
    assert order.index(b"new") < replayed / 2


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
        assert not bus.stopped_consumers()
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


async def test_a_transaction_commits_output_and_offset_together(topics: Topics) -> None:
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
    _, bus = bus_of(topics, lambda _: None)
    bus._broker.subscriber(topics.input, group_id="g")(lambda _: None)  # noqa: SLF001 - the mistake to be caught
    with pytest.raises(AssertionError, match="could lose records"):
        await bus.start()
