"""What a health check found. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, PlainSerializer

from shared.events.times import utc_text

HealthStatus = Literal["HEALTHY", "WARNING", "STALE", "NO_DATA", "FAILED"]
CheckName = Literal["database", "freshness", "latency", "error_rate", "resources", "change_capture"]

LEVEL: Final[dict[HealthStatus, int]] = {"HEALTHY": 0, "WARNING": 1, "STALE": 2, "NO_DATA": 2, "FAILED": 3}
"""Of two states the higher one counts. The metric `onpoint_health_status` shows it."""

Moment = Annotated[datetime, PlainSerializer(utc_text, when_used="json-unless-none")]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Reading(Part):
    """One value of a check."""

    item: str
    """What it is of: a table, a stage, a service."""
    status: HealthStatus
    value: float | int | None
    """None: there is none, and `note` says why."""
    limit: float | int | None = None
    """Beyond which it is not healthy; None: it is shown, and never bad."""
    unit: str = ""
    note: str = ""
    since: Moment | None = None
    """Since when it has this status; None: not known yet."""


class HealthCheck(Part):
    name: CheckName
    status: HealthStatus
    since: Moment | None = None
    readings: tuple[Reading, ...]


class HealthReport(Part):
    status: HealthStatus
    measured_at: Moment
    checks: tuple[HealthCheck, ...]


def worst(statuses: Iterable[HealthStatus]) -> HealthStatus:
    """The first of the highest level; `HEALTHY` of none."""
    return max(statuses, key=LEVEL.__getitem__, default="HEALTHY")


def check_of(name: CheckName, readings: Iterable[Reading]) -> HealthCheck:
    found = tuple(readings)
    return HealthCheck(name=name, status=worst(reading.status for reading in found), readings=found)


def report_of(checks: Iterable[HealthCheck], measured_at: datetime) -> HealthReport:
    found = tuple(checks)
    return HealthReport(status=worst(check.status for check in found), measured_at=measured_at, checks=found)


def at_most(
    item: str,
    value: float | None,
    limit: float,
    *,
    unit: str = "",
    note: str = "",
    beyond: HealthStatus = "WARNING",
    missing: HealthStatus = "NO_DATA",
) -> Reading:
    """A value that may be `limit` and no more."""
    if value is None:
        return Reading(item=item, status=missing, value=None, limit=limit, unit=unit, note=note)
    status: HealthStatus = beyond if value > limit else "HEALTHY"
    return Reading(item=item, status=status, value=round(value, 4), limit=limit, unit=unit, note=note)
