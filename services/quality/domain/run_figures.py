"""What is told to CloudWatch: runs that have ended, and the machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.events.models import RunCompleted

Unit = Literal["Seconds", "Count", "Megabytes", "Percent"]

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    value: float
    unit: Unit
    at: datetime


def of_run(run: RunCompleted) -> tuple[Figure, ...]:
    """What a run that has ended adds: its time, rows, errors and success, at the time of its end.

    Rows are those that were loaded, or that a later run had loaded before. Errors are batches that are dead. Success is the
    share of the crawled rows that were not refused; 0 for a run that failed.
    """
    summaries = run.datasets.values()
    rows = sum(summary.rows_loaded + summary.rows_superseded for summary in summaries)
    crawled = sum(summary.rows_crawled for summary in summaries)
    rejected = sum(summary.rows_rejected for summary in summaries)
    share = 0.0 if run.status == "failed" else 1.0 if crawled == 0 else max(0.0, 1 - rejected / crawled)
    seconds = max(0.0, (run.finished_at - run.requested_at).total_seconds())
    return (
        Figure("ProcessingTime", seconds, "Seconds", run.finished_at),
        Figure("RecordsProcessed", rows, "Count", run.finished_at),
        Figure("ErrorCount", sum(summary.batches_dead for summary in summaries), "Count", run.finished_at),
        Figure("SuccessRate", 100 * share, "Percent", run.finished_at),
    )


def of_machine(memory_bytes: float, cpu_percent: float, at: datetime) -> Sequence[Figure]:
    return (
        Figure("MemoryUsage", memory_bytes / MIB, "Megabytes", at),
        Figure("CPUUsage", cpu_percent, "Percent", at),
    )
