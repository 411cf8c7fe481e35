"""States of health: which counts, since when, and what has changed."""

from datetime import UTC, datetime, timedelta

import pytest

from services.quality.domain.health_news import of_changes
from shared.health.history import Change, Key, State, changes, states_of, with_since
from shared.health.model import HealthCheck, HealthStatus, Reading, at_most, check_of, report_of, worst

AT = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)
BEFORE = AT - timedelta(hours=3)


def reading(item: str, status: HealthStatus, value: float = 1) -> Reading:
    return Reading(item=item, status=status, value=value, limit=25, unit="hours")


def freshness(**states: HealthStatus) -> HealthCheck:
    return check_of("freshness", [reading(item, status) for item, status in states.items()])


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], "HEALTHY"),
        (["HEALTHY", "WARNING"], "WARNING"),
        (["WARNING", "STALE", "HEALTHY"], "STALE"),
        (["NO_DATA", "WARNING"], "NO_DATA"),
        (["STALE", "FAILED", "NO_DATA"], "FAILED"),
    ],
)
def test_the_worst_state_counts(statuses: list[HealthStatus], expected: HealthStatus) -> None:
    assert worst(statuses) == expected


@pytest.mark.parametrize(
    ("value", "status"), [(24.99, "HEALTHY"), (25, "HEALTHY"), (25.01, "STALE"), (None, "NO_DATA")]
)
def test_a_value_may_be_its_limit_and_no_more(value: float | None, status: HealthStatus) -> None:
    assert at_most("posts", value, 25, beyond="STALE").status == status


def test_a_state_that_goes_on_keeps_its_time_and_a_new_one_begins() -> None:
    report = report_of([freshness(posts="STALE", users="HEALTHY", todos="NO_DATA")], AT)
    states = {
        ("freshness", ""): State("STALE", BEFORE),
        ("freshness", "posts"): State("STALE", BEFORE),
        ("freshness", "users"): State("STALE", BEFORE),
    }
    [check] = with_since(report, states).checks
    assert check.since == BEFORE
    assert {each.item: each.since for each in check.readings} == {"posts": BEFORE, "users": AT, "todos": AT}


def told(*statuses: HealthStatus) -> list[tuple[HealthStatus, HealthStatus]]:
    """What is told of measurements one after the other, as before and now."""
    states: dict[Key, State] = {}
    found = []
    for minute, status in enumerate(statuses):
        report = report_of([freshness(posts=status)], AT + timedelta(minutes=minute))
        dated = with_since(report, states)
        found += [(change.before, change.now.status) for change in changes(dated.checks[0], states)]
        states = states_of(dated, states)
    return found


@pytest.mark.parametrize(
    ("statuses", "changed"),
    [
        (["HEALTHY", "HEALTHY"], []),
        (["STALE", "STALE"], [("HEALTHY", "STALE")]),
        (["STALE", "HEALTHY", "STALE"], [("HEALTHY", "STALE"), ("STALE", "HEALTHY"), ("HEALTHY", "STALE")]),
        (["WARNING"], []),
        (["WARNING", "WARNING", "WARNING"], [("HEALTHY", "WARNING")]),
        (["WARNING", "HEALTHY", "WARNING", "HEALTHY"], []),
        (["WARNING", "FAILED"], [("HEALTHY", "FAILED")]),
        (["FAILED", "WARNING", "FAILED"], [("HEALTHY", "FAILED")]),
        (["FAILED", "WARNING", "WARNING"], [("HEALTHY", "FAILED"), ("FAILED", "WARNING")]),
        (["WARNING", "WARNING", "HEALTHY"], [("HEALTHY", "WARNING"), ("WARNING", "HEALTHY")]),
    ],
)
def test_a_change_is_told_once_and_a_warning_when_it_was_measured_twice(
    statuses: list[HealthStatus], changed: list[tuple[HealthStatus, HealthStatus]]
) -> None:
    assert told(*statuses) == changed


def test_what_was_stored_is_what_the_next_measurement_is_compared_with() -> None:
    states = states_of(with_since(report_of([freshness(posts="STALE")], BEFORE), {}), {})
    later = with_since(report_of([freshness(posts="STALE")], AT), states)
    assert later.checks[0].since == later.checks[0].readings[0].since == BEFORE


def test_what_was_not_known_counts_as_healthy() -> None:
    check = freshness(posts="STALE", users="HEALTHY")
    assert [(change.before, change.now.item) for change in changes(check, {})] == [("HEALTHY", "posts")]


def test_no_change_is_no_news() -> None:
    assert of_changes(freshness(posts="STALE"), [], AT) is None


@pytest.mark.parametrize(
    ("status", "severity"),
    [
        ("HEALTHY", "info"),
        ("WARNING", "warning"),
        ("STALE", "warning"),
        ("NO_DATA", "warning"),
        ("FAILED", "error"),
    ],
)
def test_news_of_health_is_as_severe_as_the_worst_of_what_changed(
    status: HealthStatus, severity: str
) -> None:
    check = freshness(posts=status, users="FAILED")
    item = of_changes(check, [Change("WARNING", check.readings[0])], AT)
    assert item is not None
    assert (item.status, item.severity) == (status, severity)
    assert item.title == f"health: freshness {status}: posts"
    assert item.text == f"posts: WARNING -> {status}: 1 hours, limit 25 hours"
    assert item.datasets == ("posts",)
    assert item.facts["Whole check"] == "FAILED"


def test_many_changes_are_one_item_that_fits() -> None:
    check = check_of("freshness", [reading(f"table_{number}_{'x' * 50}", "STALE") for number in range(200)])
    item = of_changes(check, changes(check, {}), AT)
    assert item is not None
    assert item.title.endswith("…") or "and 195 more" in item.title
    assert len(item.text) <= 1500
