"""The token that clients log in with: when it is asked for, and what a failure means for its callers."""

import asyncio

import pytest

from shared.bus.tokens import (
    LEFT_AT_MOST_S,
    PAUSE_S,
    CachedTokens,
    Token,
    TokenEndpointAwayError,
    TokenRefusedError,
    TokenUnavailableError,
)


class Endpoint:
    """Numbers its tokens. A test sets what it does instead."""

    def __init__(self, lifetime_s: float = 600.0) -> None:
        self.now = 1000.0
        self.lifetime_s = lifetime_s
        self.asked = 0
        self.failure: TokenUnavailableError | None = None
        self.answers = asyncio.Event()
        self.answers.set()
        self.tokens = CachedTokens(self._ask, lambda: self.now)

    async def _ask(self) -> Token:
        self.asked += 1
        await self.answers.wait()
        if self.failure is not None:
            raise self.failure
        return Token(f"token-{self.asked}", self.lifetime_s)


FAILURES = [TokenEndpointAwayError("away"), TokenRefusedError("refused")]


@pytest.fixture
async def endpoint() -> Endpoint:
    return Endpoint()


async def test_a_token_serves_until_shortly_before_it_expires(endpoint: Endpoint) -> None:
    assert await endpoint.tokens.token() == "token-1"
    endpoint.now += 600 - LEFT_AT_MOST_S - 1
    assert await endpoint.tokens.token() == "token-1"
    endpoint.now += 1
    assert await endpoint.tokens.token() == "token-2"


async def test_a_short_token_serves_for_four_fifths_of_its_time(endpoint: Endpoint) -> None:
    endpoint.lifetime_s = 10
    assert await endpoint.tokens.token() == "token-1"
    endpoint.now += 7.9
    assert await endpoint.tokens.token() == "token-1"
    endpoint.now += 0.2
    assert await endpoint.tokens.token() == "token-2"


async def test_a_token_of_no_time_serves_those_that_wait_for_it(endpoint: Endpoint) -> None:
    endpoint.lifetime_s = 0
    found = await asyncio.gather(*(endpoint.tokens.token() for _ in range(2)))
    assert found == ["token-1", "token-1"]
    assert await endpoint.tokens.token() == "token-2"


async def test_callers_at_the_same_time_ask_once(endpoint: Endpoint) -> None:
    found = await asyncio.gather(*(endpoint.tokens.token() for _ in range(20)))

    assert set(found) == {"token-1"}
    assert endpoint.asked == 1


async def test_a_caller_that_gives_up_takes_the_token_from_no_other(endpoint: Endpoint) -> None:
    endpoint.answers.clear()
    first, second = (asyncio.create_task(endpoint.tokens.token()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    endpoint.answers.set()

    assert await second == "token-1"
    assert first.cancelled()


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failure_is_told_to_every_caller_and_the_endpoint_left_alone_for_a_while(
    endpoint: Endpoint, failure: TokenUnavailableError
) -> None:
    endpoint.failure = failure
    found = await asyncio.gather(*(endpoint.tokens.token() for _ in range(5)), return_exceptions=True)
    assert {(type(error), str(error)) for error in found} == {(type(failure), str(failure))}
    with pytest.raises(type(failure)):
        await endpoint.tokens.token()
    assert endpoint.asked == 1
    assert endpoint.tokens.problem == str(failure)

    endpoint.failure = None
    endpoint.now += PAUSE_S
    assert await endpoint.tokens.token() == "token-2"
    assert endpoint.tokens.problem is None


async def test_the_old_token_serves_on_while_the_endpoint_is_away_until_it_expires(
    endpoint: Endpoint,
) -> None:
    await endpoint.tokens.token()
    endpoint.failure = TokenEndpointAwayError("away")
    endpoint.now += 600 - LEFT_AT_MOST_S
    assert await endpoint.tokens.token() == "token-1"
    assert endpoint.tokens.problem is None
    endpoint.now += LEFT_AT_MOST_S
    with pytest.raises(TokenEndpointAwayError, match=r"^away$"):
        await endpoint.tokens.token()


def test_a_token_is_never_shown() -> None:
    assert "hidden" not in repr(Token("hidden", 1.0))
