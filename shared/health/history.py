"""Since when each state holds: what a measurement is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from shared.health.model import HealthCheck, HealthReport, HealthStatus, Reading

WHOLE = ""
"""The item that stands for the check as a whole."""

Key: TypeAlias = tuple[str, str]
"""Name of the check, and of what it looks at."""


@dataclass(frozen=True, slots=True)
class State:
    status: HealthStatus
    since: datetime
    told: HealthStatus = "HEALTHY"
    """The last status that was news."""


@dataclass(frozen=True, slots=True)
class Change:
    """Of one thing that a check looks at; what was not known before counts as healthy."""

    before: HealthStatus
    now: Reading


def with_since(report: HealthReport, states: Mapping[Key, State]) -> HealthReport:
    """The report with the times of states that go on; others begin with it."""

    def since(check: str, item: str, status: HealthStatus) -> datetime:
        known = states.get((check, item))
        return known.since if known is not None and known.status == status else report.measured_at

    checks = tuple(
        check.model_copy(
            update={
                "since": since(check.name, WHOLE, check.status),
                "readings": tuple(
                    reading.model_copy(update={"since": since(check.name, reading.item, reading.status)})
                    for reading in check.readings
                ),
            }
        )
        for check in report.checks
    )
    return report.model_copy(update={"checks": checks})


def changes(check: HealthCheck, states: Mapping[Key, State]) -> list[Change]:
    """What is to be told. A warning is, once it was measured twice in a row: a busy minute is no news."""
    found = []
    for reading in check.readings:
        known = states.get((check.name, reading.item))
        before: HealthStatus = "HEALTHY" if known is None else known.told
        if _is_told(reading, known) and reading.status != before:
            found.append(Change(before, reading))
    return found


def states_of(report: HealthReport, states: Mapping[Key, State]) -> dict[Key, State]:
    """What the next measurement is compared with. `report` is one that `with_since` has made of `states`."""
    found: dict[Key, State] = {}
    for check in report.checks:
        found[check.name, WHOLE] = State(check.status, check.since or report.measured_at)
        for reading in check.readings:
            known = states.get((check.name, reading.item))
            before: HealthStatus = "HEALTHY" if known is None else known.told
            told = reading.status if _is_told(reading, known) else before
            found[check.name, reading.item] = State(reading.status, reading.since or report.measured_at, told)
    return found


def _is_told(reading: Reading, known: State | None) -> bool:
    return reading.status != "WARNING" or (known is not None and known.status == "WARNING")
