from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from pydantic import SecretStr

from shared.health.services import figures_of
from shared.runtime.http import Page, _is_local_program, start_http
from shared.runtime.paths import RESUME_PATH


class FakeBreaker:
    def __init__(self) -> None:
        self.on = True

    def release(self) -> bool:
        was_on, self.on = self.on, False
        return was_on


@pytest.fixture
async def breaker() -> FakeBreaker:
    return FakeBreaker()


@pytest.fixture
async def url(breaker: FakeBreaker) -> AsyncIterator[str]:
    runner = await start_http(
        "127.0.0.1", 0, alive=list, ready=lambda: ["waiting for Kafka"], resume=breaker.release
    )
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def post(url: str, **headers: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.post(url + RESUME_PATH, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_a_program_on_this_machine_may_reset_the_breaker_and_learns_whether_it_was_open(
    url: str, breaker: FakeBreaker
) -> None:
    assert await post(url) == (200, "the circuit breaker is closed")
    assert not breaker.on
    assert await post(url) == (200, "the circuit breaker was not open")


@pytest.mark.parametrize("header", ["Origin", "Referer", "Sec-Fetch-Site"])
async def test_a_page_in_a_browser_may_not(url: str, breaker: FakeBreaker, header: str) -> None:
    assert (await post(url, **{header: "https://evil.example"}))[0] == 403
    assert breaker.on


TOKEN = "a-token-of-32-characters-or-more"  # noqa: S105 - of this test


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN}", 200),
        ("Bearer another", 403),
        (TOKEN, 403),
        ("Bearer", 403),
        ("Bearer \udcff", 403),
        ("", 403),
    ],
)
async def test_from_elsewhere_only_the_token_resumes(breaker: FakeBreaker, given: str, code: int) -> None:
    """A page in a browser counts as elsewhere."""
    runner = await start_http(
        "127.0.0.1", 0, alive=list, ready=list, resume=breaker.release, token=SecretStr(TOKEN)
    )
    try:
        there = f"http://127.0.0.1:{runner.addresses[0][1]}"
        assert (await post(there, Origin="https://console.example", Authorization=given))[0] == code
    finally:
        await runner.cleanup()
    assert breaker.on == (code != 200)


async def test_without_a_token_nobody_has_it(url: str, breaker: FakeBreaker) -> None:
    assert (await post(url, Origin="https://evil.example", Authorization="Bearer None"))[0] == 403
    assert breaker.on


async def test_a_get_resets_nothing(url: str, breaker: FakeBreaker) -> None:
    async with aiohttp.ClientSession() as session, session.get(url + RESUME_PATH) as answer:
        assert answer.status == 405
    assert breaker.on


@pytest.mark.parametrize(
    ("remote", "may"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("10.0.0.7", False), ("", False), ("x", False)],
)
def test_only_programs_of_this_machine_are_accepted(remote: str, may: bool) -> None:
    request: web.Request = make_mocked_request("POST", RESUME_PATH).clone(remote=remote)

    assert _is_local_program(request) is may


async def test_health_is_told_as_before(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(url + "/livez") as alive:
            assert (alive.status, await alive.text()) == (200, "ok")
        async with session.get(url + "/readyz") as ready:
            assert (ready.status, await ready.text()) == (503, "waiting for Kafka")


async def test_a_page_is_looked_up_at_each_request() -> None:
    pages: dict[str, Callable[[], Awaitable[Page]]] = {}
    runner = await start_http("127.0.0.1", 0, alive=list, ready=list, resume=lambda: False, pages=pages)
    address = f"http://127.0.0.1:{runner.addresses[0][1]}/health/pipeline"

    async def failed() -> Page:
        return Page(b'{"status":"FAILED"}', HTTPStatus.SERVICE_UNAVAILABLE)

    try:
        async with aiohttp.ClientSession() as session:
            async with session.get(address) as answer:
                assert answer.status == 404
            pages["/health/pipeline"] = failed
            async with session.get(address) as answer:
                assert (answer.status, await answer.json()) == (503, {"status": "FAILED"})
    finally:
        await runner.cleanup()


async def test_metrics_tell_of_the_machine_at_the_moment_that_they_are_asked_for(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
        found = figures_of(await answer.text())
    assert 0 < found["onpoint_scratch_free_bytes"] <= found["onpoint_scratch_bytes"]
    assert 0 <= found["onpoint_machine_cpu_ratio"] <= 1
    assert found["onpoint_work_in_hand"] == 0
