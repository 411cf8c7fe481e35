"""Times as Excel has them: a number of days, those of dates since the end of 1899."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

UNIX_DAY = 25_569
"""1970-01-01 in Excel's count."""

FIRST_DAY = 61
"""1900-03-01. Excel knows a 29 February 1900, so readers differ about the days before."""
LAST_DAY = 2_958_465
"""9999-12-31."""

DAY_US = 86_400_000_000
MILLISECOND_US = 1_000


@dataclass(frozen=True, slots=True)
class Time:
    """How the times of a type become cells."""

    style: str
    to_us: Callable[[pl.Series], pl.Series]
    """Microseconds: since 1970, since midnight, or in all."""
    first_us: int
    last_us: int
    begin_day: int = 0

    def cells(self, values: pl.Series) -> pl.Series:
        """Days. Excel rounds a time with more than milliseconds."""
        return self.to_us(values).cast(pl.Float64) / DAY_US + self.begin_day

    def is_in_range(self, values: pl.Series) -> bool:
        """Whether Excel has all of them."""
        return self.to_us(values).is_between(self.first_us, self.last_us).all()

    def is_exact(self, values: pl.Series) -> bool:
        """Whether none has more than milliseconds either."""
        return self.is_in_range(values) and (self.to_us(values) % MILLISECOND_US == 0).all()


def time_of(dtype: pl.DataType) -> Time | None:
    """How times of the type become cells; None for what is no time."""
    match dtype:
        case pl.Date():
            return Time("yyyy-mm-dd", _days_us, *_CALENDAR_US, UNIX_DAY)
        case pl.Datetime():
            return Time("yyyy-mm-dd hh:mm:ss.000", lambda s: s.dt.timestamp("us"), *_CALENDAR_US, UNIX_DAY)
        case pl.Time():
            return Time("hh:mm:ss.000", lambda s: s.cast(pl.Int64) // 1_000, 0, DAY_US - 1)
        case pl.Duration():
            # Excel shows a negative one as a row of hashes.
            return Time("[h]:mm:ss.000", lambda s: s.dt.total_microseconds(), 0, LAST_DAY * DAY_US)
        case _:
            return None


_CALENDAR_US = ((FIRST_DAY - UNIX_DAY) * DAY_US, (LAST_DAY + 1 - UNIX_DAY) * DAY_US - 1)


def _days_us(values: pl.Series) -> pl.Series:
    return values.cast(pl.Int32).cast(pl.Int64) * DAY_US
