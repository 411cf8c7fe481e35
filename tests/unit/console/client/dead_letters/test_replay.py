import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from unittest.mock import AsyncMock

import pytest

from console.client.dead_letters.queue import Filters, WorkQueue
from console.client.dead_letters.record import Position, to_dead_letter
from console.client.dead_letters.replay import AT_ONCE, TRUNCATED, Outcome, Replayer, ReplayRate
from console.client.dead_letters.topics import stretches
from shared.bus.dead_letters import Failure, dead_letter_headers, truncate_to_limit
from shared.bus.messages import Record
from shared.errors import PermanentError
from shared.events.decode import MAX_EVENT_BYTES
from shared.reasons import Reason
from tests.support.clock import in_no_time, now_s


def sent_at(per_s: float | None, sendings_s: list[float]) -> list[float]:
    """When each piece of ten dead letters may go, in seconds from the first; `sendings_s`: how long sending takes."""

    async def replay() -> list[float]:
        rate, began_s, moments = ReplayRate(per_s), now_s(), list[float]()
        for sending_s in sendings_s:
            await rate.wait_for(10)
            moments.append(now_s() - began_s)
            await asyncio.sleep(sending_s)
        return moments

    return in_no_time(replay)


def test_a_rate_is_obeyed_over_the_whole_replay() -> None:
    assert sent_at(100, [0] * 5) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_time_that_sending_takes_is_not_waited_for_twice() -> None:
    assert sent_at(100, [0.04, 0.04, 0]) == pytest.approx([0, 0.1, 0.2])


def test_what_a_slow_piece_lost_is_made_up_for() -> None:
    assert sent_at(100, [0.25, 0, 0, 0, 0]) == pytest.approx([0, 0.25, 0.25, 0.3, 0.4])


def test_without_a_rate_nothing_waits() -> None:
    assert sent_at(None, [0] * 5) == [0] * 5


@pytest.mark.parametrize(("per_s", "size"), [(None, AT_ONCE), (0.5, 1), (7, 7), (10_000, AT_ONCE)])
def test_slow_is_even_and_fast_is_in_bounded_pieces(per_s: float | None, size: int) -> None:
    assert ReplayRate(per_s).at_once == size


def test_dead_letters_that_lie_close_are_read_in_one_go() -> None:
    assert stretches([]) == []
    assert stretches([5]) == [(5, 5)]
    assert stretches([1, 2, 900, 5000, 5001]) == [(1, 900), (5000, 5001)]


class Topics:
    """The loader's dead letters, without a broker."""

    def __init__(self, records: list[Record]) -> None:
        self._records = records

    async def at(self, positions: list[Position]) -> AsyncIterator[tuple[Position, Record]]:
        for record in self._records:
            position = Position("loader", record.partition, record.offset)
            if position in positions:
                yield position, record


def dead_letter_of(offset: int, value: bytes) -> Record:
    """The dead letter of a record, as the loader writes it."""
    died_at = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
    failure = Failure(PermanentError(Reason.TOO_LARGE, "too large"), 1, died_at, died_at)
    record = Record("batch.processed", 0, offset, 1, b"k", value)
    body, truncation = truncate_to_limit(record, MAX_EVENT_BYTES)
    headers = dead_letter_headers(body, failure, service="loader", group="onpoint-loader")
    return Record("loader.dlq", 0, offset, 1, body.key, body.value, (*headers, *truncation))


async def test_a_truncated_dead_letter_is_not_sent_back() -> None:
    """The service would take a part of the record for the whole."""
    records = [dead_letter_of(1, b"{}"), dead_letter_of(2, b"x" * (MAX_EVENT_BYTES + 1))]
    queue = WorkQueue()
    queue.add_dead_letters(to_dead_letter(record, "loader") for record in records)
    dead_letters = [entry.dead_letter for entry in queue.oldest(Filters(), 10)]
    queue.close()
    producer: Any = AsyncMock()
    producer.client.fetch_all_metadata.return_value.topics = lambda: {"loader.retry"}
    journal: Any = AsyncMock()
    journal.begin.return_value = [1]
    source: Any = Topics(records)
    outcome = Outcome()
    await Replayer(producer, journal, "nowhere", "me").replay(dead_letters, source, ReplayRate(None), outcome)

    assert outcome.replayed == [Position("loader", 0, 1)]
    assert outcome.refused == {Position("loader", 0, 2): TRUNCATED}
    assert [call.args[1] for call in producer.send_and_wait.await_args_list] == [b"{}"]
