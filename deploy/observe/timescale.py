"""Rules, scrapes and routes in another time, so that an alert which waits for minutes can be tried in seconds."""

import re
from fractions import Fraction
from typing import Any

WINDOW_KEYS = {"for", "keep_firing_for"}
INTERVAL_KEYS = {
    "interval",
    "scrape_interval",
    "scrape_timeout",
    "evaluation_interval",
    "refresh_interval",
    "group_wait",
    "group_interval",
    "repeat_interval",
}
UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
SHORTEST_INTERVAL_MS = 1000
SHORTEST_RANGE_MS = 5000
"""A rate needs two samples that were taken a shortest interval apart, and one may be late."""

_DURATION = re.compile(r"(\d+)(ms|[smhd])")
_RANGE = re.compile(r"\[(\d+(?:ms|[smhd]))(:(?:\d+(?:ms|[smhd]))?)?\]")
_OFFSET = re.compile(r"(offset )(\d+(?:ms|[smhd]))")


def scaled(document: Any, factor: float) -> Any:
    """A copy of a document of Prometheus or Alertmanager in which every time is multiplied by the factor (0 to 1).

    Times are those of waiting, of intervals, and the ranges inside of expressions; a number of seconds in an expression
    is a threshold and stays.
    """
    if factor == 1:
        return document
    return _scaled(document, Fraction(factor).limit_denominator(100_000))


def _scaled(node: Any, factor: Fraction) -> Any:
    if isinstance(node, list):
        return [_scaled(item, factor) for item in node]
    if not isinstance(node, dict):
        return node
    return {key: _scaled_value(key, value, factor) for key, value in node.items()}


def _scaled_value(key: str, value: Any, factor: Fraction) -> Any:
    if key == "expr":
        ranges = _RANGE.sub(lambda found: _range(found, factor), value)
        return _OFFSET.sub(lambda found: found[1] + _times(found[2], factor, SHORTEST_RANGE_MS), ranges)
    if key in WINDOW_KEYS:
        return _times(value, factor, 0)
    if key in INTERVAL_KEYS:
        return _times(value, factor, SHORTEST_INTERVAL_MS)
    return _scaled(value, factor)


def _range(found: re.Match[str], factor: Fraction) -> str:
    step = found[2] or ""
    if len(step) > 1:
        step = ":" + _times(step[1:], factor, SHORTEST_INTERVAL_MS)
    return f"[{_times(found[1], factor, SHORTEST_RANGE_MS)}{step}]"


def _times(text: str, factor: Fraction, least_ms: int) -> str:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no duration of one number and one unit")
    milliseconds = int(found[1]) * UNITS_MS[found[2]]
    return f"{max(round(milliseconds * factor), min(least_ms, milliseconds))}ms"
