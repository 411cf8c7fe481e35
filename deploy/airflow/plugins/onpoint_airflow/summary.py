"""The summary of a run as text: for the log, the notices, and the reason a task fails with."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from shared.events.models import CheckResult, RunCompleted
from shared.events.topology import Stage, stages_of

MAX_LISTED = 20
"""The most dead batches and missing pages of a completion in an XCom: Airflow's database should not store ten thousand."""

TIME = "%Y-%m-%d %H:%M:%S"

STAGE_OF_COLUMN: dict[str, Stage] = {"loaded": "loader", "stored": "s3sink"}
"""A run that does not have the stage shows no such column."""

OF_TRANSFORMS = frozenset({"filtered", "added"})
"""Shown where a transform has done that."""

COLUMNS = {
    "crawled": "rows_crawled",
    "accepted": "rows_accepted",
    "rejected": "rows_rejected",
    "filtered": "rows_filtered",
    "added": "rows_added",
    "duplicates": "rows_deduplicated",
    "loaded": "rows_loaded",
    "stored": "rows_stored",
    "dead batches": "batches_dead",
}


def shorten(completion: RunCompleted) -> dict[str, Any]:
    """The completion as JSON, its long lists cut; how long they were is beside them."""
    document = completion.model_dump(mode="json")
    for name in ("dead", "missing"):
        document[f"{name}_count"] = len(document[name])
        document[name] = document[name][:MAX_LISTED]
    return document


def restore(document: dict[str, Any]) -> RunCompleted:
    known = {name: value for name, value in document.items() if name in RunCompleted.model_fields}
    return RunCompleted.model_validate(known, strict=False)


def headline(completion: RunCompleted) -> str:
    """One line: status, reason and the checks that failed, by name."""
    parts = [f"run {completion.run_id} {completion.status}"]
    if completion.reason:
        parts.append(completion.reason)
    parts += [
        f"failed checks ({severity}): {', '.join(failed)}"
        for severity in ("error", "warn")
        if (failed := _failed(completion.checks, severity))
    ]
    return ": ".join(parts[:2]) + "".join(f"; {more}" for more in parts[2:])


def describe(document: dict[str, Any], links: Sequence[str]) -> str:
    """The whole summary: duration, rows, checks, what is dead or missing, where to look."""
    completion = restore(document)
    took = completion.finished_at - completion.requested_at
    lines = [
        headline(completion),
        f"took {_duration(took)}: {completion.requested_at:{TIME}} to {completion.finished_at:{TIME}} UTC",
        *_table(completion),
        _checks(completion.checks),
        *(f"dead: {d.dataset} batch {d.batch_id} at {d.stage}: {d.reason}" for d in completion.dead),
        *(f"missing: {m.dataset} {m.url}: {m.reason}" for m in completion.missing),
        *_cut(document),
        *links,
    ]
    return "\n".join(lines)


def _failed(checks: Sequence[CheckResult], severity: str) -> list[str]:
    return [
        f"{check.dataset}.{check.name} (is {check.value}, expected {_expected(check)})"
        for check in checks
        if not check.passed and check.severity == severity
    ]


def _expected(check: CheckResult) -> str:
    return " and ".join(f"{name} {value}" for name, value in check.expected.items()) or "otherwise"


def _duration(took: timedelta) -> str:
    minutes, seconds = divmod(round(took.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (seconds, "s")]
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "less than 1 s"


def _table(completion: RunCompleted) -> list[str]:
    """A line per dataset; columns line up in a fixed-width font. None of it where a request was refused."""
    if not completion.datasets:
        return []
    stages = stages_of(completion.from_stage)
    columns = {h: field for h, field in COLUMNS.items() if STAGE_OF_COLUMN.get(h, stages[0]) in stages}
    for heading in OF_TRANSFORMS:
        if not any(getattr(dataset, columns[heading]) for dataset in completion.datasets.values()):
            del columns[heading]
    rows = [["dataset", *columns]]
    for name, dataset in completion.datasets.items():
        rows.append([name, *(f"{getattr(dataset, field):,}" for field in columns.values())])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]


def _checks(checks: Sequence[CheckResult]) -> str:
    failed = sum(not check.passed for check in checks)
    return f"checks: {len(checks) - failed} passed, {failed} failed"


def _cut(document: dict[str, Any]) -> list[str]:
    return [
        f"{name}: {more} more, see `onpoint status {document['run_id']}`"
        for name in ("dead", "missing")
        if (more := document[f"{name}_count"] - len(document[name])) > 0
    ]
