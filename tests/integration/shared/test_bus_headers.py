"""OnPoint reads no headers of other programs: they stop nothing, and stay with their record on every way it takes."""

from collections.abc import Sequence

import pytest
from aiokafka import AIOKafkaProducer

from console.client.dead_letters.record import original_record, to_dead_letter
from shared.bus.messages import Outgoing, Record
from shared.bus.retry_headers import PREFIX, next_attempt
from shared.errors import PermanentError
from shared.events.decode import decode_event
from shared.events.models import RunDrained
from shared.reasons import Reason
from tests.support.bus import Topics, run_drained, running
from tests.support.foreign_headers import KINDS, with_odd_name

pytestmark = pytest.mark.integration

EVENT = run_drained("r")
SENT = [(0, EVENT, list(headers)) for headers in KINDS.values()]


@pytest.mark.parametrize("transactional", [False, True])
async def test_a_record_is_handled_whatever_headers_it_has(topics: Topics, *, transactional: bool) -> None:
    handled: list[Record] = []

    async def handler(record: Record) -> Sequence[Outgoing]:
        handled.append(record)
        event = decode_event(RunDrained, record.value)
        return (Outgoing(topics.output, event.run_id, event),)

    await topics.send(*SENT)
    async with running(topics, handler, transactional=transactional):
        await topics.drained(20)
    assert [record.headers for record in handled] == list(KINDS.values())
    assert len(await topics.read(topics.output)) == len(KINDS)
    assert not await topics.read(topics.dead)


async def test_a_retry_brings_them_back_and_counts_its_own_tries(topics: Topics) -> None:
    tries: list[tuple[tuple[str, bytes | None], ...]] = []

    async def handler(record: Record) -> Sequence[Outgoing]:
        assert record.topic == topics.input
        tries.append(record.headers)
        if tries.count(record.headers) == 1:
            raise ValueError("once")
        return ()

    await topics.send(*SENT)
    async with running(topics, handler):
        await topics.drained(30)
    assert all(tries.count(headers) == 2 for headers in KINDS.values())
    retried = [next_attempt(record) for record in await topics.read(topics.retry)]
    assert {attempt.failed_tries for attempt in retried} == {1}
    assert not any(attempt.is_replay for attempt in retried)
    assert not await topics.read(topics.dead)


async def test_a_dead_letter_keeps_them_byte_for_byte_and_a_replay_has_them(topics: Topics) -> None:
    async def handler(_record: Record) -> Sequence[Outgoing]:
        raise PermanentError(Reason.CHECKSUM, "bytes differ")

    await topics.send(*SENT)
    async with running(topics, handler):
        await topics.drained(20)
    found = await topics.read(topics.dead)
    dead_letters = [to_dead_letter(raw, topics.service) for raw in found]
    assert {
        (dead_letter.tries, dead_letter.reason, dead_letter.run_id, dead_letter.is_truncated)
        for dead_letter in dead_letters
    } == {(1, "checksum", "r", False)}
    replayed = [
        original_record(dead_letter, raw) for dead_letter, raw in zip(dead_letters, found, strict=True)
    ]
    assert [record.headers for record in replayed if record] == list(KINDS.values())


async def test_a_name_that_is_not_utf8_does_not_stop_its_partition(topics: Topics) -> None:
    handled: list[Record] = []

    async def handler(record: Record) -> Sequence[Outgoing]:
        handled.append(record)
        if len(handled) == 1:
            raise ValueError("once")
        return ()

    async with AIOKafkaProducer(bootstrap_servers=topics.servers, acks="all") as producer:
        for codec in (0, 1, 3):
            batch = producer.create_batch()
            with_odd_name(batch, EVENT, codec=codec)
            await (await producer.send_batch(batch, topics.input, partition=0))
    await topics.send((0, run_drained("behind"), []))
    async with running(topics, handler):
        await topics.drained(20)
    odd = (("\ufffd\ufffd", b"1"), ("\ufffd\ufffd", None))
    assert sorted(record.headers for record in handled) == [(), *[odd] * 4]
    assert all(PREFIX + "topic" in dict(record.headers) for record in await topics.read(topics.retry))
