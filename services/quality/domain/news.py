"""What of a run's end, and of a run that does not come, is news. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.datasets.versions import ColumnsVersion
from shared.events.models import CheckResult, DatasetSummary, RunCompleted
from shared.events.times import utc_text
from shared.news.item import MAX_LINES, MAX_TEXT_CHARS, DatasetRows, FailedCheck, NewsItem, Severity, cut

_SEVERITY: dict[str, Severity] = {
    "succeeded": "info",
    "partial": "warning",
    "cancelled": "warning",
    "failed": "error",
}

WARNINGS_SHOWN = 5

MINUTE_S, HOUR_S = 60, 3600


def of_completion(completed: RunCompleted, rows_before: Mapping[str, int]) -> list[NewsItem]:
    """The run's end, and one item for each dataset with a check that did not pass.

    `rows_before`: by dataset, the rows that its last run loaded.
    """
    failed = [check for check in completed.checks if not check.passed]
    by_dataset: dict[str, list[CheckResult]] = {}
    for check in failed:
        by_dataset.setdefault(check.dataset, []).append(check)
    return [
        _run(completed, failed, rows_before),
        *(_checks(completed, dataset, checks) for dataset, checks in by_dataset.items()),
    ]


def _run(completed: RunCompleted, failed: Sequence[CheckResult], rows_before: Mapping[str, int]) -> NewsItem:
    facts = {
        "Status": completed.status,
        "Duration": duration_text(completed.finished_at - completed.requested_at),
        "Requested": utc_text(completed.requested_at),
        "Checks": f"{len(completed.checks) - len(failed)} passed, {len(failed)} failed",
    }
    if completed.dead:
        facts["Dead batches"] = str(sum(summary.batches_dead for summary in completed.datasets.values()))
    if completed.missing:
        facts["Missing pages"] = str(len(completed.missing))
    lines = [completed.reason or "", *completed.warnings[:WARNINGS_SHOWN]]
    return NewsItem(
        id=f"run_completed/{completed.run_id}",
        kind="run_completed",
        severity=_SEVERITY[completed.status],
        status=completed.status,
        title=cut(f"run {completed.run_id} {completed.status}"),
        text=cut("\n".join(line for line in lines if line), MAX_TEXT_CHARS),
        happened_at=completed.finished_at,
        run_id=completed.run_id,
        datasets=tuple(completed.datasets),
        facts={name: cut(value) for name, value in facts.items()},
        rows=tuple(
            _rows(name, summary, rows_before.get(name))
            for name, summary in list(completed.datasets.items())[:MAX_LINES]
        ),
        checks=tuple(_check(check) for check in failed[:MAX_LINES]),
    )


def _checks(completed: RunCompleted, dataset: str, failed: Sequence[CheckResult]) -> NewsItem:
    is_error = any(check.severity == "error" for check in failed)
    names = ", ".join(check.name for check in failed)
    return NewsItem(
        id=f"check_failed/{completed.run_id}/{dataset}",
        kind="check_failed",
        severity="error" if is_error else "warning",
        status="error" if is_error else "warn",
        title=cut(f"{dataset}: {names} failed in run {completed.run_id}"),
        happened_at=completed.finished_at,
        run_id=completed.run_id,
        datasets=(dataset,),
        checks=tuple(_check(check) for check in failed[:MAX_LINES]),
    )


def _rows(name: str, summary: DatasetSummary, before: int | None) -> DatasetRows:
    return DatasetRows(
        dataset=name,
        crawled=summary.rows_crawled,
        rejected=summary.rows_rejected,
        loaded=summary.rows_loaded,
        stored=summary.rows_stored,
        loaded_before=before,
    )


def _check(check: CheckResult) -> FailedCheck:
    expected = " and ".join(f"{name} {value}" for name, value in check.expected.items())
    return FailedCheck(
        dataset=check.dataset,
        name=cut(check.name),
        severity=check.severity,
        value=cut(str(check.value)),
        expected=cut(expected or "otherwise"),
    )


def of_columns(version: ColumnsVersion, before: ColumnsVersion | None) -> NewsItem:
    """That records of a run made a version of a dataset's columns. `before`: the version before; None: the file."""
    known = {column.name for column in before.added} if before else set()
    types = {column.name: column.type for column in before.widened} if before else {}
    added = [f"{column.name} ({column.type})" for column in version.added if column.name not in known]
    widened = [
        f"{column.name} to {column.type}"
        for column in version.widened
        if types.get(column.name) != column.type
    ]
    lines = [f"added: {', '.join(added)}" if added else "", f"wider: {', '.join(widened)}" if widened else ""]
    return NewsItem(
        id=f"columns_changed/{version.dataset}/{version.version}",
        kind="columns_changed",
        severity="warning",
        status="evolved",
        title=cut(f"{version.dataset}: its columns have version {version.version}"),
        text=cut("\n".join(line for line in lines if line), MAX_TEXT_CHARS),
        happened_at=version.made_at,
        run_id=version.run_id,
        datasets=(version.dataset,),
        facts={"Version": str(version.version), "Run": cut(version.run_id)},
    )


@dataclass(frozen=True, slots=True)
class Expectation:
    """That a run delivers the dataset every so often."""

    dataset: str
    every: timedelta
    within: timedelta
    since: datetime
    """The request of the last run that delivered it; where there is none, when the expectation became known."""
    last_run: str | None

    def missed(self, now: datetime) -> int:
        """How many runs are overdue; 0: none is."""
        late = now - self.since - self.within
        return max(0, late // self.every)

    def due_at(self) -> datetime:
        """Until when the next run has to have ended."""
        return self.since + self.every + self.within


def overdue(expectation: Expectation, now: datetime) -> NewsItem | None:
    """The news that a run is overdue, with an id of its own for each one that is missed; None: none is."""
    missed = expectation.missed(now)
    if not missed:
        return None
    last = "none has delivered it yet"
    if expectation.last_run is not None:
        last = f"run {expectation.last_run}, requested {utc_text(expectation.since)}"
    return NewsItem(
        id=f"run_overdue/{expectation.dataset}/{utc_text(expectation.since)}/{missed}",
        kind="run_overdue",
        severity="error",
        status="overdue",
        title=f"{expectation.dataset}: a run is overdue",
        text=f"A run was expected to deliver {expectation.dataset} by {utc_text(expectation.due_at())}.",
        happened_at=now,
        datasets=(expectation.dataset,),
        facts={
            "Expected": f"every {duration_text(expectation.every)}, within {duration_text(expectation.within)}",
            "Missed": str(missed),
            "Last run": cut(last),
        },
    )


def duration_text(took: timedelta) -> str:
    seconds = max(0, round(took.total_seconds()))
    hours, rest = divmod(seconds, HOUR_S)
    minutes, seconds = divmod(rest, MINUTE_S)
    parts = [(hours, "h"), (minutes, "min"), (seconds, "s")]
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "less than 1 s"
