"""What happened, in the words of every channel. Pure."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from shared.events.times import utc_text

Kind = Literal["run_completed", "check_failed", "run_overdue", "health_changed", "columns_changed", "test"]
Severity = Literal["info", "warning", "error"]

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")
"""From the least to the most severe."""

MAX_LINES = 50
"""Of each list in an item: a channel takes a few thousand characters."""

MAX_TEXT_CHARS = 1500

Line = Annotated[str, StringConstraints(max_length=300)]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class DatasetRows(Part):
    """The rows of a dataset in a run; `*_before` are those of the last run that had the dataset."""

    dataset: str
    crawled: int
    rejected: int
    loaded: int
    stored: int
    loaded_before: int | None = None
    """None: there was no run before."""


class FailedCheck(Part):
    dataset: str
    name: Line
    severity: str
    value: Line
    expected: Line


class NewsItem(Part):
    """One thing that happened. Its id is derived of what it tells, so that it is told once."""

    id: Annotated[str, StringConstraints(min_length=1, max_length=300)]
    kind: Kind
    severity: Severity
    status: str
    """As the source of the news names it: `partial`, `FAILED`, `overdue`."""
    title: Line
    text: Annotated[str, StringConstraints(max_length=MAX_TEXT_CHARS)] = ""
    happened_at: datetime
    run_id: str | None = None
    datasets: tuple[str, ...] = ()
    """Whom it concerns; none: the whole pipeline."""
    facts: dict[str, Line] = Field(default_factory=dict)
    """Short values by their names, in the order to show them."""
    rows: Annotated[tuple[DatasetRows, ...], Field(max_length=MAX_LINES)] = ()
    checks: Annotated[tuple[FailedCheck, ...], Field(max_length=MAX_LINES)] = ()

    def is_at_least(self, severity: Severity) -> bool:
        return SEVERITIES.index(self.severity) >= SEVERITIES.index(severity)

    @property
    def time_text(self) -> str:
        return utc_text(self.happened_at)


def cut(text: str, most: int = 300) -> str:
    """The text, its end left out where it is longer."""
    return text if len(text) <= most else text[: most - 1] + "…"
