"""A record that no try can handle becomes a whole dead letter with its failure, and no record behind it waits."""

import json
from collections import Counter
from collections.abc import Sequence

import pytest
from aiokafka import AIOKafkaProducer

from shared.bus.messages import FailureOutcome, Outgoing, Record
from shared.errors import PermanentError
from shared.events.decode import decode_event
from shared.events.models import RunDrained
from shared.reasons import Reason
from tests.support.bus import Topics, run_drained, running

pytestmark = pytest.mark.integration


async def test_every_kind_of_bad_record_becomes_a_dead_letter_with_its_bytes_and_none_is_skipped(
    topics: Topics,
) -> None:
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
        (b"{", [("h", b"\xff\xfe")], "decode"),
        (b"[", [("h", None)], "decode"),
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


async def test_what_was_cancelled_is_marked_failed_and_published_but_leaves_no_dead_letter(
    topics: Topics,
) -> None:
    marked: list[int] = []

    async def handler(_record: Record) -> Sequence[Outgoing]:
        raise PermanentError(Reason.CANCELLED, "the run was cancelled")

    async def mark_failed(record: Record, _error: PermanentError) -> FailureOutcome:
        marked.append(record.offset)
        event = decode_event(RunDrained, record.value)
        return FailureOutcome(dead=True, events=(Outgoing(topics.output, event.run_id, event),))

    await topics.send((0, run_drained("a"), []))
    async with running(topics, handler, mark_failed=mark_failed):
        await topics.drained(10)
    assert marked == [0]
    assert len(await topics.read(topics.output)) == 1
    assert not await topics.read(topics.dead)


async def test_a_dead_letter_keeps_key_and_headers_and_describes_the_failure(topics: Topics) -> None:
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


async def test_garbage_on_the_retry_topic_is_dead_at_once(topics: Topics) -> None:
    async def handler(_record: Record) -> Sequence[Outgoing]:
        raise AssertionError

    async with AIOKafkaProducer(bootstrap_servers=topics.servers) as producer:
        await producer.send_and_wait(topics.retry, b"x", key=b"k")
        await producer.send_and_wait(topics.retry, b"y", key=b"k", headers=[("retry.tries", b"many")])
    async with running(topics, handler):
        await topics.drained(10)
    assert [record.value for record in await topics.read(topics.dead)] == [b"x", b"y"]
