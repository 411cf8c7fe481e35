from datetime import UTC, datetime

import pytest

from services.quality.domain.checks import could_not_run, evaluate, unknown_dataset
from services.quality.domain.ledger import BatchRef, Plan, find_batches, printable
from shared.datasets.model import Check, NotNullCheck, RowCountCheck, UniqueCheck
from shared.events import ids

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_a_bare_id_is_found_among_the_planned_batches() -> None:
    plans = [Plan("a", "posts", 3, NOON), Plan("b", "posts", 2, NOON), Plan("b", "users", 4, NOON)]
    wanted = {
        ids.batch_id("b", "users", 3),
        ids.batch_id("a", "posts", 0),
        ids.batch_id("b", "posts", 2),
        "0" * 32,
    }
    assert find_batches(plans, frozenset(wanted)) == {
        ids.batch_id("a", "posts", 0): BatchRef("a", "posts", 0, NOON),
        ids.batch_id("b", "users", 3): BatchRef("b", "users", 3, NOON),
    }


def test_the_unit_that_makes_a_plan_is_not_a_batch() -> None:
    assert find_batches([Plan("a", "posts", 10, NOON)], frozenset({ids.plan_unit_id("a", "posts")})) == {}


@pytest.mark.parametrize(
    ("check", "value", "passed", "name", "expected"),
    [
        (RowCountCheck(kind="row_count", min=1), 1, True, "row_count", {"min": 1}),
        (RowCountCheck(kind="row_count", min=1), 0, False, "row_count", {"min": 1}),
        (RowCountCheck(kind="row_count", max=5), 6, False, "row_count", {"max": 5}),
        (RowCountCheck(kind="row_count", min=2, max=5), 5, True, "row_count", {"min": 2, "max": 5}),
        (RowCountCheck(kind="row_count"), 0, True, "row_count", {}),
        (NotNullCheck(kind="not_null", column="title"), 0, True, "not_null(title)", {"max": 0}),
        (NotNullCheck(kind="not_null", column="title", max=2), 3, False, "not_null(title)", {"max": 2}),
        (UniqueCheck(kind="unique", columns=("id", "day")), 1, False, "unique(id,day)", {"max": 0}),
    ],
)
def test_a_check_passes_within_its_bounds(
    check: Check, value: int, passed: bool, name: str, expected: dict[str, int]
) -> None:
    result = evaluate("posts", check, value)
    assert (result.passed, result.name, result.value, result.expected) == (passed, name, value, expected)


def test_a_check_without_an_answer_has_failed() -> None:
    check = NotNullCheck(kind="not_null", column="title", severity="warn")
    result = could_not_run("posts", check, "no table " * 100)
    assert (result.passed, result.severity) == (False, "warn")
    assert len(str(result.value)) == 300
    assert not unknown_dataset("posts").passed


def test_text_is_reduced_to_what_postgres_can_store() -> None:
    assert printable("a\x00b") == "a\N{REPLACEMENT CHARACTER}b"
