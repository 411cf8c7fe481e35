"""What a service without Kafka says about its readiness."""

from typing import Any

import pytest
from aiokafka.errors import TopicAuthorizationFailedError

from shared.bus import subscriptions as module
from shared.bus.publisher import Publisher
from shared.bus.subscriptions import DENIAL_S, Subscriptions
from tests.support.bus import SESSION_TIMEOUT_MS, plain_kafka


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


async def test_a_denial_is_over_when_no_fetch_was_denied_for_a_while(clock: Clock) -> None:
    kafka = plain_kafka("127.0.0.1:1")
    bus = Subscriptions(
        kafka,
        "loader",
        Publisher(kafka, "loader"),
        session_timeout_ms=SESSION_TIMEOUT_MS,
        fatal=lambda error: pytest.fail(repr(error)),
    )
    consumer: Any = object()
    error = TopicAuthorizationFailedError("batch.converted")
    for _ in range(3):
        bus._set_denied(consumer, error)  # noqa: SLF001 - what the consumer calls with each denied fetch
        clock.now_s += 0.9 * DENIAL_S
        assert bus.readiness_problems() == [kafka.denial(error)]
    clock.now_s += 0.2 * DENIAL_S
    assert bus.readiness_problems() == []
