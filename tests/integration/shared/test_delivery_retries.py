"""Retries: outages for as long as they last, unknown errors five times."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest

from shared.bus.messages import Outgoing, Record
from shared.errors import TransientError
from shared.events.decode import decode_event
from shared.events.models import RunDrained
from tests.support.bus import Topics, run_drained, running

pytestmark = pytest.mark.integration


async def test_an_outage_pauses_and_goes_on_by_itself_and_never_makes_a_dead_letter(
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
            while not any("paused since" in line for line in bus.readiness_problems()):
                await asyncio.sleep(0.05)
        await topics.drained(30)
        assert not bus.readiness_problems()
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


async def test_retry_headers_on_another_topic_are_ignored(topics: Topics) -> None:
    tries: Counter[str] = Counter()

    async def handler(record: Record) -> Sequence[Outgoing]:
        tries[record.topic] += 1
        raise ZeroDivisionError

    spoofed = [("retry.tries", b"999"), ("retry.topic", b"crawl.requested"), ("x-retry-count", b"999")]
    await topics.send((0, run_drained("a"), spoofed))
    async with running(topics, handler):
        await topics.drained(40)
    assert tries == {topics.input: 5}


async def test_when_everything_fails_the_circuit_breaker_opens_and_a_probe_that_works_closes_it(
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
            while not any("circuit breaker" in line for line in bus.readiness_problems()):
                await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        dead = {json.loads(record.value or b"")["run_id"] for record in await topics.read(topics.dead)}
        assert len(dead) <= 10
        broken = False
        await topics.drained(60)
        assert not bus.readiness_problems()
    assert done == names - dead
