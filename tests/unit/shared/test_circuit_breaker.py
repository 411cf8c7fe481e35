"""The circuit breaker: when it opens, what passes while it is open, how it closes."""

from datetime import UTC, datetime

from shared.bus.circuit_breaker import MAX_DEAD_IN_A_ROW, PROBE_INTERVAL_S, CircuitBreaker

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def open_breaker() -> CircuitBreaker:
    breaker = CircuitBreaker()
    while breaker.allow_failure(NOW):
        pass
    return breaker


def test_ten_in_a_row_may_fail_and_the_next_stays() -> None:
    breaker = CircuitBreaker()
    assert [breaker.allow_failure(NOW) for _ in range(MAX_DEAD_IN_A_ROW)] == [True] * MAX_DEAD_IN_A_ROW
    assert not breaker.allow_failure(NOW)
    assert breaker.open_since == NOW
    assert "in a row" in breaker.why


def test_more_than_a_twentieth_of_at_least_twenty_opens_it() -> None:
    breaker = CircuitBreaker()
    for _ in range(18):
        breaker.record_success()
    assert breaker.allow_failure(NOW)
    assert not breaker.allow_failure(NOW)
    assert breaker.why == "2 of 20 records failed"


def test_one_bad_record_in_a_thousand_never_opens_it() -> None:
    breaker = CircuitBreaker()
    for number in range(5000):
        assert breaker.allow_failure(NOW) if number % 1000 == 999 else not breaker.record_success()


def test_an_open_breaker_lets_one_probe_through_per_interval() -> None:
    breaker = open_breaker()
    assert breaker.retry_after(100.0) is None
    assert breaker.retry_after(100.0) == PROBE_INTERVAL_S
    assert breaker.retry_after(101.0) == PROBE_INTERVAL_S - 1
    assert breaker.retry_after(100.0 + PROBE_INTERVAL_S) is None


def test_a_probe_that_works_closes_it_and_earlier_failures_are_forgotten() -> None:
    breaker = open_breaker()
    assert breaker.record_success()
    assert breaker.open_since is None
    assert breaker.retry_after(0.0) is None
    assert breaker.allow_failure(NOW)


def test_no_record_becomes_a_dead_letter_while_it_is_open() -> None:
    breaker = open_breaker()
    assert not any(breaker.allow_failure(NOW) for _ in range(100))


def test_an_operator_can_reset_it() -> None:
    breaker = open_breaker()
    assert breaker.reset()
    assert not breaker.reset()
