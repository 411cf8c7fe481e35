import asyncio

import pytest

from console.dlq.replay import AT_ONCE, Pace, parse_rate
from console.dlq.topics import stretches
from console.errors import WrongUseError
from tests.support.clock import in_no_time, now_s


@pytest.mark.parametrize(
    ("text", "per_s"), [("50/s", 50), ("50", 50), ("0.5/s", 0.5), ("600/min", 10), ("7200 / h", 2)]
)
def test_a_rate_is_letters_a_second(text: str, per_s: float) -> None:
    assert parse_rate(text) == per_s


@pytest.mark.parametrize("text", ["", "fast", "0", "-1/s", "1/day", "1e9", "NaN", "1/s/s"])
def test_what_is_no_rate_is_told(text: str) -> None:
    with pytest.raises(WrongUseError, match="is not understood: write N/s"):
        parse_rate(text)


def sent_at(per_s: float | None, sendings_s: list[float]) -> list[float]:
    """When each piece of ten letters may go, in seconds from the first, where sending them takes so long."""

    async def replay() -> list[float]:
        pace, began_s, moments = Pace(per_s), now_s(), list[float]()
        for sending_s in sendings_s:
            await pace.wait_for(10)
            moments.append(now_s() - began_s)
            await asyncio.sleep(sending_s)
        return moments

    return in_no_time(replay)


def test_a_rate_is_kept_over_the_whole_replay() -> None:
    assert sent_at(100, [0] * 5) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_time_that_sending_takes_is_not_waited_for_twice() -> None:
    assert sent_at(100, [0.04, 0.04, 0]) == pytest.approx([0, 0.1, 0.2])


def test_what_a_slow_piece_lost_is_made_up_for() -> None:
    assert sent_at(100, [0.25, 0, 0, 0, 0]) == pytest.approx([0, 0.25, 0.25, 0.3, 0.4])


def test_without_a_rate_nothing_waits() -> None:
    assert sent_at(None, [0] * 5) == [0] * 5


@pytest.mark.parametrize(("per_s", "size"), [(None, AT_ONCE), (0.5, 1), (7, 7), (10_000, AT_ONCE)])
def test_slow_is_even_and_fast_is_in_bounded_pieces(per_s: float | None, size: int) -> None:
    assert Pace(per_s).at_once == size


def test_letters_that_lie_close_are_read_in_one_go() -> None:
    assert stretches([]) == []
    assert stretches([5]) == [(5, 5)]
    assert stretches([1, 2, 900, 5000, 5001]) == [(1, 900), (5000, 5001)]
