"""Lengths of time in a dataset file: `90s`, `15m`, `1h`, `7d`, `1mo`. Pure."""

import re
from calendar import monthrange
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator

from shared.datasets.faults import FaultError

_DURATION = re.compile(r"([0-9]{1,9})(ms|us|s|m|h|d|w|mo|y)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_MONTHS = {"mo": 1, "y": 12}
_DAYS_OF_MONTH = 30
MONTHS_OF_YEAR = 12


def split_duration(text: str) -> tuple[int, str]:
    """The number and its unit. Raises `FaultError`."""
    found = _DURATION.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise FaultError(
            f"{text[:40]!r} is not a length of time: write a number and s, m, h, d, w, mo or y, as in 7d"
        )
    return int(found[1]), found[2]


def seconds_of(text: str) -> float:
    """A month counts as 30 days."""
    number, unit = split_duration(text)
    if unit in _MONTHS:
        return number * _MONTHS[unit] * _DAYS_OF_MONTH * _SECONDS["d"]
    return number * _SECONDS[unit]


def later(moment: datetime, text: str, times: int = 1) -> datetime:
    """The moment `times` durations later, by the calendar for months and years. Raises `OverflowError` beyond it."""
    number, unit = split_duration(text)
    if unit not in _MONTHS:
        return moment + timedelta(seconds=number * _SECONDS[unit] * times)
    months = moment.year * MONTHS_OF_YEAR + moment.month - 1 + number * _MONTHS[unit] * times
    year, month = divmod(months, MONTHS_OF_YEAR)
    if not 1 <= year <= 9999:  # noqa: PLR2004 - of the calendar
        raise OverflowError(f"the year {year}")
    day = min(moment.day, monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)


def _checked(text: str) -> str:
    split_duration(text)
    return text


Duration = Annotated[str, AfterValidator(_checked)]
