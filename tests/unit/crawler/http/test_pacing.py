"""Requests wait: for the rate, for a slot, and for as long as the source asks."""

import asyncio
import time
from pathlib import Path

import pytest

from services.crawler.domain.fetching import Answer, FetchFailure, RetryPolicy
from tests.support import source as faults
from tests.support.fetching import ROWS, client_of, fetched
from tests.support.source import SourceServer


async def test_retry_after_is_obeyed_by_every_request_to_the_host(tmp_path: Path) -> None:
    async with SourceServer({"things": ROWS}) as server, client_of(server, tmp_path) as ask:
        server.fail("/things", faults.status(429, Retry_After="1"), times=1)
        first = ask("/things")
        while not server.seen:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        second = ask("/things?second")
        assert isinstance(await first, Answer)
        assert isinstance(await second, Answer)
        asked = server.seen[0].at_s
        assert all(request.at_s - asked >= 0.95 for request in server.seen[1:])


@pytest.mark.parametrize("code", [202, 304, 403, 404, 500])
async def test_retry_after_counts_with_every_status_that_is_not_an_answer(code: int, tmp_path: Path) -> None:
    async with SourceServer({"things": ROWS}) as server, client_of(server, tmp_path) as ask:
        server.fail("/things", faults.status(code, Retry_After="0.3"), times=1)
        answer = await ask("/things")
        assert isinstance(answer, Answer)
        assert server.seen[1].at_s - server.seen[0].at_s >= 0.28


async def test_a_redirect_is_followed_after_its_retry_after(tmp_path: Path) -> None:
    async with SourceServer({"things": ROWS}) as server, client_of(server, tmp_path, timeout_s=0.4) as ask:
        server.fail("/moved", faults.status(302, Retry_After="0.6", Location="/things"))
        answer = await ask("/moved")
        assert isinstance(answer, Answer), "the pause is not taken from the time for the answer"
        assert server.seen[1].at_s - server.seen[0].at_s >= 0.58


async def test_redirects_with_retry_after_pause_no_longer_than_one_pause(tmp_path: Path) -> None:
    policy = RetryPolicy(tries=1, retry_after_cap_s=0.2)
    async with SourceServer() as server, client_of(server, tmp_path, policy) as ask:
        server.fail("/things", faults.status(302, Retry_After="3600", Location="/things"))
        began_s = time.monotonic()
        failure = await ask("/things")
        assert isinstance(failure, FetchFailure)
        assert failure.detail == f"more than 5 redirects, the last to {server.url}/things"
        assert time.monotonic() - began_s < 5


async def test_an_answer_that_is_not_ready_comes_later(tmp_path: Path) -> None:
    answer, tries = await fetched(faults.status(202), tmp_path, times=3)
    assert isinstance(answer, Answer)
    assert (answer.value.rows, tries) == (25, 4)


async def test_requests_are_spaced_by_the_rate(tmp_path: Path) -> None:
    async with (
        SourceServer({"things": ROWS}) as server,
        client_of(server, tmp_path, requests_per_second=20) as ask,
    ):
        began_s = time.monotonic()
        await asyncio.gather(*(ask("/things") for _ in range(11)))
        assert len(server.seen) == 11
        assert max(request.at_s for request in server.seen) - began_s >= 0.49


async def test_no_more_than_the_allowed_requests_are_open_at_once(tmp_path: Path) -> None:
    async with (
        SourceServer({"things": ROWS}, delay_s=0.02) as server,
        client_of(server, tmp_path, concurrency=3) as ask,
    ):
        await asyncio.gather(*(ask("/things") for _ in range(20)))
        assert server.most_concurrent == 3
