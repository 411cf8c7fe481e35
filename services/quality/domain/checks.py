"""Names, bounds and verdicts of the checks of a dataset file."""

from shared.datasets.model import Check, NotNullCheck, RowCountCheck, UniqueCheck
from shared.events.models import CheckResult

MAX_ERROR_CHARS = 300


def check_name(check: Check) -> str:
    """`row_count`, `not_null(title)`, `unique(id)`, `unique(id,day)`."""
    match check:
        case RowCountCheck():
            return "row_count"
        case NotNullCheck():
            return f"not_null({check.column})"
        case UniqueCheck():
            return f"unique({','.join(check.columns)})"


def expected_of(check: Check) -> dict[str, int]:
    match check:
        case RowCountCheck():
            bounds = {"min": check.min, "max": check.max}
            return {side: bound for side, bound in bounds.items() if bound is not None}
        case NotNullCheck():
            return {"max": check.max}
        case UniqueCheck():
            return {"max": 0}


def evaluate(dataset: str, check: Check, value: int) -> CheckResult:
    expected = expected_of(check)
    passed = expected.get("min", value) <= value <= expected.get("max", value)
    return _result(dataset, check, value, passed=passed)


def could_not_run(dataset: str, check: Check, error: str) -> CheckResult:
    """A check without an answer has failed."""
    return _result(dataset, check, error[:MAX_ERROR_CHARS], passed=False)


def unknown_dataset(dataset: str) -> CheckResult:
    """The dataset's file is gone since the run was accepted, and its checks with it."""
    return CheckResult(
        dataset=dataset,
        name="dataset",
        severity="error",
        passed=False,
        value="no dataset file of this name",
        expected={},
    )


def _result(dataset: str, check: Check, value: int | str, *, passed: bool) -> CheckResult:
    return CheckResult(
        dataset=dataset,
        name=check_name(check),
        severity=check.severity,
        passed=passed,
        value=value,
        expected={**expected_of(check)},
    )
