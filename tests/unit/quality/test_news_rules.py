"""What of a run's end, and of a run that does not come, is news."""

from datetime import UTC, datetime, timedelta

import pytest

from services.quality.domain.news import Expectation, duration_text, of_completion, overdue
from shared.events.models import CheckResult, DatasetSummary, RunCompleted, RunStatus

AT = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)


def completed(
    status: RunStatus = "succeeded", checks: tuple[CheckResult, ...] = (), **more: object
) -> RunCompleted:
    return RunCompleted.model_validate(
        {
            "run_id": "nightly",
            "status": status,
            "reason": None,
            "requested_at": AT - timedelta(minutes=3, seconds=5),
            "started_at": AT - timedelta(minutes=3),
            "finished_at": AT,
            "datasets": {"posts": DatasetSummary(rows_crawled=12, rows_loaded=10, rows_stored=11)},
            "checks": checks,
        }
        | more,
    )


def check(dataset: str, name: str, severity: str, *, passed: bool) -> CheckResult:
    return CheckResult.model_validate(
        {
            "dataset": dataset,
            "name": name,
            "severity": severity,
            "passed": passed,
            "value": 3,
            "expected": {"max": 0},
        }
    )


@pytest.mark.parametrize(
    ("status", "severity"),
    [("succeeded", "info"), ("partial", "warning"), ("cancelled", "warning"), ("failed", "error")],
)
def test_the_end_of_a_run_is_as_severe_as_its_status(status: RunStatus, severity: str) -> None:
    [item] = of_completion(completed(status), {})
    assert (item.id, item.kind, item.status, item.severity) == (
        "run_completed/nightly",
        "run_completed",
        status,
        severity,
    )
    assert item.facts["Duration"] == "3 min 5 s"


def test_rows_stand_beside_those_of_the_last_run() -> None:
    [item] = of_completion(completed(), {"posts": 8})
    [rows] = item.rows
    assert (rows.crawled, rows.loaded, rows.stored, rows.loaded_before) == (12, 10, 11, 8)


def test_checks_that_failed_are_an_item_for_each_dataset() -> None:
    checks = (
        check("posts", "row_count", "error", passed=True),
        check("posts", "not_null(title)", "warn", passed=False),
        check("posts", "unique(id)", "error", passed=False),
        check("users", "not_null(name)", "warn", passed=False),
    )
    run, posts, users = of_completion(completed("failed", checks), {})
    assert [each.name for each in run.checks] == ["not_null(title)", "unique(id)", "not_null(name)"]
    assert (posts.id, posts.severity, posts.datasets) == ("check_failed/nightly/posts", "error", ("posts",))
    assert (users.id, users.severity, users.datasets) == ("check_failed/nightly/users", "warning", ("users",))
    assert posts.checks[0].expected == "max 0"


def test_texts_of_any_length_fit() -> None:
    long = completed("failed", reason="x" * 4000, warnings=("y" * 4000,) * 50)
    [item] = of_completion(long, {})
    assert len(item.text) <= 1500


EXPECTED = Expectation("posts", timedelta(hours=24), timedelta(hours=2), AT, "nightly")


@pytest.mark.parametrize(
    ("hours", "missed"), [(0, 0), (24, 0), (25.99, 0), (26, 1), (49.99, 1), (50, 2), (74, 3), (-5, 0)]
)
def test_a_run_is_overdue_from_the_end_of_its_time_on(hours: float, missed: int) -> None:
    now = AT + timedelta(hours=hours)
    assert EXPECTED.missed(now) == missed
    item = overdue(EXPECTED, now)
    assert (item is not None) == bool(missed)


def test_each_missed_run_is_told_once() -> None:
    told = [overdue(EXPECTED, AT + timedelta(minutes=minute)) for minute in range(60 * 76)]
    ids = list(dict.fromkeys(item.id for item in told if item is not None))
    assert ids == [f"run_overdue/posts/2026-11-29T08:00:00.000000Z/{missed}" for missed in (1, 2, 3)]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "less than 1 s"), (59.6, "1 min"), (3600, "1 h"), (7384, "2 h 3 min 4 s")]
)
def test_a_duration_is_told_in_words(seconds: float, text: str) -> None:
    assert duration_text(timedelta(seconds=seconds)) == text
