"""How long a stack took to go on after each fault: pure, from what was seen."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Literal

from tests.chaos.injector import Strike
from tests.chaos.observe import Handled, Lag, Observations, Progress

Measure = Literal["service killed", "broker back", "postgres back", "store back"]

GOALS_S: dict[Measure, float] = {"service killed": 30, "broker back": 60, "postgres back": 30}
"""p95 of those that no outage overlapped."""

NAMES: dict[Measure, str] = {
    "service killed": "service killed → its next record handled",
    "broker back": "broker back → all of that moment committed",
    "postgres back": "PostgreSQL back → a batch recorded",
    "store back": "object store back → a batch recorded",
}
MEASURE_OF: dict[str, Measure] = {"postgres": "postgres back", "store": "store back"}
OUTAGES = frozenset({"broker", "postgres", "store", "network"})
START_TOLERANCE_S = 1.0
"""A process's start is known to the clock tick of the kernel, read against another clock."""


@dataclass(frozen=True)
class Recovery:
    fault: int
    measure: Measure
    from_s: float
    seconds: float | None
    """None: it had nothing to do, or the next fault came first."""
    outcome: Literal["recovered", "idle", "struck again", "never"]
    alone: bool
    """No outage or network fault was on between the two moments, nor another fault of the same part."""


@dataclass(frozen=True)
class Summary:
    measure: Measure
    count: int
    p50_s: float
    p95_s: float
    max_s: float

    def meets_goal(self) -> bool | None:
        goal_s = GOALS_S.get(self.measure)
        return None if goal_s is None else self.p95_s <= goal_s


def recoveries(strikes: Sequence[Strike], seen: Observations) -> list[Recovery]:
    found = []
    for strike in strikes:
        if strike.fault.kind == "kill" and strike.pid is not None:
            found.append(_after_kill(strike, strikes, seen))
        elif strike.fault.kind == "broker" and strike.ended_s is not None:
            found.append(_after_broker(strike, strikes, seen))
        elif strike.fault.kind in MEASURE_OF and strike.ended_s is not None:
            found.append(_after_return(strike, strikes, seen))
    return found


def summaries(found: Iterable[Recovery], *, alone: bool) -> list[Summary]:
    """By kind. `alone`: only those that no outage overlapped."""
    times: dict[Measure, list[float]] = {}
    for recovery in found:
        if recovery.seconds is not None and (recovery.alone or not alone):
            times.setdefault(recovery.measure, []).append(recovery.seconds)
    return [
        Summary(measure, len(seconds), _quantile(seconds, 50), _quantile(seconds, 95), max(seconds))
        for measure in NAMES
        if (seconds := times.get(measure))
    ]


def _after_kill(strike: Strike, strikes: Sequence[Strike], seen: Observations) -> Recovery:
    service, from_s = strike.fault.target, strike.began_s
    again_s = min(
        (
            other.began_s
            for other in strikes
            if other.fault.kind in {"kill", "pause"}
            and other.pid is not None
            and other.fault.target == service
            and other.began_s > from_s
        ),
        default=float("inf"),
    )
    for sample in seen.handled:
        if not _is_of_successor(sample, service, from_s):
            continue
        if sample.at_s >= again_s:
            return _recovery(strike, "service killed", from_s, None, "struck again", strikes)
        if sample.records:
            return _recovery(strike, "service killed", from_s, sample.at_s, "recovered", strikes)
        if _nothing_to_do(seen.lag, sample.at_s, f"onpoint-{service}"):
            return _recovery(strike, "service killed", from_s, None, "idle", strikes)
    outcome: Literal["struck again", "never"] = "struck again" if again_s < float("inf") else "never"
    return _recovery(strike, "service killed", from_s, None, outcome, strikes)


def _is_of_successor(sample: Handled, service: str, killed_s: float) -> bool:
    return (
        sample.service == service
        and sample.at_s > killed_s
        and sample.at_s - sample.age_s > killed_s - START_TOLERANCE_S
    )


def _after_broker(strike: Strike, strikes: Sequence[Strike], seen: Observations) -> Recovery:
    (drain,) = [drain for drain in seen.drains if drain.fault == strike.fault.number]
    outcome: Literal["recovered", "never"] = "never" if drain.drained_s is None else "recovered"
    return _recovery(strike, "broker back", drain.since_s, drain.drained_s, outcome, strikes)


def _after_return(strike: Strike, strikes: Sequence[Strike], seen: Observations) -> Recovery:
    measure, from_s = MEASURE_OF[strike.fault.kind], strike.ended_s or 0.0
    after = [sample for sample in seen.progress if sample.at_s >= from_s]
    base = _total(after[0]) if after else 0
    for sample in after:
        if _total(sample) > base:
            return _recovery(strike, measure, from_s, sample.at_s, "recovered", strikes)
        if _nothing_to_do(seen.lag, sample.at_s, None):
            return _recovery(strike, measure, from_s, None, "idle", strikes)
    return _recovery(strike, measure, from_s, None, "never", strikes)


def _total(sample: Progress) -> int:
    return sum(sample.done.values())


def _nothing_to_do(lag: Sequence[Lag], at_s: float, group: str | None) -> bool:
    """Whether the last look before that moment, no older than 2 s, found everything committed."""
    last = next((look for look in reversed(lag) if look.at_s <= at_s), None)
    if last is None or at_s - last.at_s > 2:
        return False
    return not (sum(last.by_group.values()) if group is None else last.by_group.get(group, 0))


def _recovery(
    strike: Strike,
    measure: Measure,
    from_s: float,
    to_s: float | None,
    outcome: Literal["recovered", "idle", "struck again", "never"],
    strikes: Sequence[Strike],
) -> Recovery:
    until_s = from_s if to_s is None else to_s
    alone = not any(
        other is not strike
        and other.began_s <= until_s
        and (other.ended_s or other.began_s) >= from_s
        and (other.fault.kind in OUTAGES or other.fault.target == strike.fault.target)
        for other in strikes
    )
    seconds = None if to_s is None else round(to_s - from_s, 2)
    return Recovery(strike.fault.number, measure, from_s, seconds, outcome, alone)


def _quantile(values: Sequence[float], percent: int) -> float:
    return values[0] if len(values) == 1 else quantiles(values, n=100, method="inclusive")[percent - 1]
