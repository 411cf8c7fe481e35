"""The brake: when it goes on, what it lets through, how it goes off."""

from datetime import UTC, datetime

from shared.bus.circuit_breaker import MAX_DEAD_IN_A_ROW, PROBE_INTERVAL_S, Brake

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def brake_that_is_on() -> Brake:
    brake = Brake()
    while brake.admit_death(NOW):
        pass
    return brake


def test_ten_in_a_row_may_die_and_the_next_stays() -> None:
    brake = Brake()
    assert [brake.admit_death(NOW) for _ in range(MAX_DEAD_IN_A_ROW)] == [True] * MAX_DEAD_IN_A_ROW
    assert not brake.admit_death(NOW)
    assert brake.on_since == NOW
    assert "in a row" in brake.why


def test_more_than_a_twentieth_of_at_least_twenty_puts_it_on() -> None:
    brake = Brake()
    for _ in range(18):
        brake.worked()
    assert brake.admit_death(NOW)
    assert not brake.admit_death(NOW)
    assert brake.why == "2 of 20 records failed"


def test_one_bad_record_in_a_thousand_never_puts_it_on() -> None:
    brake = Brake()
    for number in range(5000):
        assert brake.admit_death(NOW) if number % 1000 == 999 else not brake.worked()


def test_a_brake_that_is_on_lets_one_record_through_now_and_then() -> None:
    brake = brake_that_is_on()
    assert brake.holds(100.0) is None
    assert brake.holds(100.0) == PROBE_INTERVAL_S
    assert brake.holds(101.0) == PROBE_INTERVAL_S - 1
    assert brake.holds(100.0 + PROBE_INTERVAL_S) is None


def test_a_probe_that_works_takes_it_off_and_the_past_is_forgotten() -> None:
    brake = brake_that_is_on()
    assert brake.worked()
    assert brake.on_since is None
    assert brake.holds(0.0) is None
    assert brake.admit_death(NOW)


def test_no_record_dies_while_it_is_on() -> None:
    brake = brake_that_is_on()
    assert not any(brake.admit_death(NOW) for _ in range(100))


def test_a_person_can_release_it() -> None:
    brake = brake_that_is_on()
    assert brake.release()
    assert not brake.release()
