"""When a change of health is news, and how it is told. Pure."""

from collections.abc import Sequence
from datetime import datetime

from shared.events.times import utc_text
from shared.health.history import Change
from shared.health.model import LEVEL, HealthCheck, worst
from shared.health.text import value_text
from shared.news.item import MAX_TEXT_CHARS, NewsItem, Severity, cut

NAMED = 5
"""In a title; all are in the text as far as it goes."""


def of_changes(check: HealthCheck, changes: Sequence[Change], at: datetime) -> NewsItem | None:
    """One item for all that changed in a check; None: nothing did."""
    if not changes:
        return None
    status = worst(change.now.status for change in changes)
    names = [change.now.item for change in changes if change.now.status == status]
    more = "" if len(names) <= NAMED else f" and {len(names) - NAMED} more"
    lines = [
        f"{change.now.item}: {change.before} -> {change.now.status}: {value_text(change.now)}"
        for change in sorted(changes, key=lambda change: -LEVEL[change.now.status])
    ]
    severity: Severity = ("info", "warning", "warning", "error")[LEVEL[status]]
    return NewsItem(
        id=f"health_changed/{check.name}/{utc_text(at)}",
        kind="health_changed",
        severity=severity,
        status=status,
        title=cut(f"health: {check.name} {status}: {', '.join(names[:NAMED])}{more}"),
        text=cut("\n".join(lines), MAX_TEXT_CHARS),
        happened_at=at,
        datasets=tuple(change.now.item for change in changes) if check.name == "freshness" else (),
        facts={"Check": check.name, "Whole check": check.status},
    )
