"""How fast one host is asked."""

import asyncio

import pytest

from services.crawler.http.rate_limit import LATE_S, RateLimiter, SourceThrottle
from shared.datasets.model import ApiSource
from tests.support.clock import in_no_time, now_s


def passed_at(per_second: float, *, late_s: float = 0, paused_s: float = 0, count: int = 5) -> list[float]:
    """When each of `count` requests that come at once passes, in seconds from the first moment.

    The event loop is late by `late_s` after the first; the host is paused for `paused_s` before it.
    """

    async def ask() -> list[float]:
        limiter, began_s, moments = RateLimiter(), now_s(), list[float]()
        if paused_s:
            limiter.pause(paused_s)

        async def request(number: int) -> None:
            if number and late_s:
                await asyncio.sleep(late_s)
            await limiter.acquire(per_second)
            moments.append(now_s() - began_s)

        await asyncio.gather(*(request(number) for number in range(count)))
        return moments

    return in_no_time(ask)


def test_requests_pass_at_an_even_pace() -> None:
    early_s = LATE_S  # the second, as if the first had come late
    assert passed_at(20) == pytest.approx([0, *(number / 20 - early_s for number in range(1, 5))])


def test_without_a_rate_all_pass_at_once() -> None:
    assert passed_at(0) == [0] * 5


def test_a_little_lateness_is_made_up_for() -> None:
    assert passed_at(1000, late_s=LATE_S) == pytest.approx([0, *[LATE_S] * 4])


def test_more_is_not_so_that_no_burst_follows_a_pause() -> None:
    assert passed_at(100, late_s=1) == pytest.approx([0, 1, 1.005, 1.015, 1.025])


@pytest.mark.parametrize("per_second", [0, 20])
def test_no_request_passes_while_the_host_is_paused(per_second: float) -> None:
    assert min(passed_at(per_second, paused_s=7)) == pytest.approx(7)


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    async def ask() -> float:
        limiter, began_s = RateLimiter(), now_s()
        limiter.pause(7)
        limiter.pause(1)
        await limiter.acquire(0)
        return now_s() - began_s

    assert in_no_time(ask) == pytest.approx(7)


def a_source(concurrency: int, name: str = "shop") -> ApiSource:
    return ApiSource.model_validate(
        {
            "name": name,
            "kind": "api",
            "base_url": "http://shop.example",
            "path": "/things",
            "pagination": {"kind": "none"},
            "requests_per_second": 0,
            "concurrency": concurrency,
        }
    )


def most_at_once(throttle: SourceThrottle, *asked: ApiSource, learnt: list[ApiSource] | None = None) -> int:
    """How many requests were in flight at once; half-way the throttle learns other sources."""

    async def ask() -> int:
        flying, most = 0, 0

        async def request(number: int, source: ApiSource) -> None:
            nonlocal flying, most
            async with throttle.request(source):
                flying += 1
                most = max(most, flying) if learnt is None or number > len(asked) * 10 else most
                await asyncio.sleep(1)
                flying -= 1
            if learnt is not None and number == len(asked) * 5:
                throttle.use_limits_of(learnt)

        sources = [source for _ in range(20) for source in asked]
        await asyncio.gather(*(request(number, source) for number, source in enumerate(sources)))
        return most

    return in_no_time(ask)


def test_the_least_that_the_datasets_of_a_source_ask_for_is_its_bound() -> None:
    throttle = SourceThrottle([a_source(5), a_source(2), a_source(9, "other")])
    assert most_at_once(throttle, a_source(5)) == 2


def test_a_source_that_the_throttle_has_not_met_is_bounded_by_its_own_number() -> None:
    assert most_at_once(SourceThrottle(), a_source(3)) == 3


def test_two_datasets_of_a_new_source_share_its_slots() -> None:
    assert most_at_once(SourceThrottle(), a_source(3), a_source(3)) == 3


@pytest.mark.parametrize(("before", "after"), [(5, 2), (2, 4)])
def test_a_bound_that_changes_applies_to_the_next_requests(before: int, after: int) -> None:
    throttle = SourceThrottle([a_source(before)])
    assert most_at_once(throttle, a_source(9), learnt=[a_source(after)]) == after
