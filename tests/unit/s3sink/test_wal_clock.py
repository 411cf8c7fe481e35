"""Seconds of lag by the looks at a slot."""

from services.s3sink.cdc.wal_clock import MOST, WalClock


def test_a_slot_that_has_everything_has_no_lag() -> None:
    clock = WalClock()
    assert [clock.lag_s(now, 100 + now, 100 + now) for now in range(5)] == [0.0] * 5


def test_the_lag_is_the_age_of_the_first_look_whose_log_is_not_confirmed() -> None:
    clock = WalClock()
    assert clock.lag_s(0, 100, 100) == 0
    assert clock.lag_s(10, 200, 100) == 0
    assert clock.lag_s(20, 300, 100) == 10
    assert clock.lag_s(30, 400, 200) == 10
    assert clock.lag_s(40, 400, 400) == 0


def test_an_outage_of_days_keeps_its_beginning_and_a_bounded_number_of_looks() -> None:
    clock = WalClock()
    for now in range(3 * MOST):
        clock.lag_s(now, 100 + now, 50)
    assert clock.lag_s(3 * MOST, 10**9, 50) == 3 * MOST
    assert len(clock._looks) <= MOST + 1  # noqa: SLF001 - its memory is the subject
