"""The brake: when it opens, what it lets through, how it closes."""

from datetime import UTC, datetime

from shared.bus.brake import MAX_DEAD_IN_A_ROW, PROBE_INTERVAL_S, Brake

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def open_brake() -> Brake:
    brake = Brake()
    while brake.would_die(NOW):
        pass
    return brake


def test_ten_in_a_row_may_die_and_the_next_stays() -> None:
    brake = Brake()
    assert [brake.would_die(NOW) for _ in range(MAX_DEAD_IN_A_ROW)] == [True] * MAX_DEAD_IN_A_ROW
    assert not brake.would_die(NOW)
    assert brake.open_since == NOW
    assert "in a row" in brake.why


def test_more_than_a_twentieth_of_at_least_twenty_opens_it() -> None:
    brake = Brake()
    for _ in range(18):
        brake.worked()
    assert brake.would_die(NOW)
    assert not brake.would_die(NOW)
    assert brake.why == "2 of 20 records failed"


def test_one_bad_record_in_a_thousand_never_opens_it() -> None:
    brake = Brake()
    for number in range(5000):
        assert brake.would_die(NOW) if number % 1000 == 999 else not brake.worked()


def test_an_open_brake_lets_one_record_through_now_and_then() -> None:
    brake = open_brake()
    assert brake.holds(100.0) is None
    assert brake.holds(100.0) == PROBE_INTERVAL_S
    assert brake.holds(101.0) == PROBE_INTERVAL_S - 1
    assert brake.holds(100.0 + PROBE_INTERVAL_S) is None


def test_a_probe_that_works_closes_it_and_the_past_is_forgotten() -> None:
    brake = open_brake()
    assert brake.worked()
    assert brake.open_since is None
    assert brake.holds(0.0) is None
    assert brake.would_die(NOW)


def test_no_record_dies_while_it_is_open() -> None:
    brake = open_brake()
    assert not any(brake.would_die(NOW) for _ in range(100))


def test_a_person_can_release_it() -> None:
    brake = open_brake()
    assert brake.release()
    assert not brake.release()
