import asyncio
import time

import pytest

from console.dlq.replay import AT_ONCE, Pace, parse_rate
from console.dlq.topics import stretches
from console.errors import WrongUseError


@pytest.mark.parametrize(
    ("text", "per_s"), [("50/s", 50), ("50", 50), ("0.5/s", 0.5), ("600/min", 10), ("7200 / h", 2)]
)
def test_a_rate_is_letters_a_second(text: str, per_s: float) -> None:
    assert parse_rate(text) == per_s


@pytest.mark.parametrize("text", ["", "fast", "0", "-1/s", "1/day", "1e9", "NaN", "1/s/s"])
def test_what_is_no_rate_is_told(text: str) -> None:
    with pytest.raises(WrongUseError, match="is not understood: write N/s"):
        parse_rate(text)


async def test_a_rate_is_kept_over_the_whole_replay() -> None:
    pace, began_s, sent = Pace(100), time.monotonic(), 0
    while sent < 50:
        await pace.wait_for(10)
        sent += 10
    assert 0.39 <= time.monotonic() - began_s < 0.9


async def test_time_that_sending_takes_is_not_waited_for_twice() -> None:
    pace = Pace(100)
    await pace.wait_for(10)
    await asyncio.sleep(0.2)
    began_s = time.monotonic()
    await pace.wait_for(10)
    assert time.monotonic() - began_s < 0.05


@pytest.mark.parametrize(("per_s", "size"), [(None, AT_ONCE), (0.5, 1), (7, 7), (10_000, AT_ONCE)])
def test_slow_is_even_and_fast_is_in_bounded_pieces(per_s: float | None, size: int) -> None:
    assert Pace(per_s).at_once == size


def test_letters_that_lie_close_are_read_in_one_go() -> None:
    assert stretches([]) == []
    assert stretches([5]) == [(5, 5)]
    assert stretches([1, 2, 900, 5000, 5001]) == [(1, 900), (5000, 5001)]
