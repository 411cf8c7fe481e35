"""How often a run of a dataset is expected. Pure."""

import re
from datetime import timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, StringConstraints

from shared.datasets.faults import FaultError
from shared.datasets.fields import Model

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
_PERIOD = re.compile(r"([1-9][0-9]{0,4})([mhd])")

MOST = timedelta(days=366)


def _period(value: str) -> str:
    if not _PERIOD.fullmatch(value) or period(value) > MOST:
        raise FaultError(f"{value!r} is not a time such as 30m, 24h or 7d, of 366 days at most")
    return value


def period(text: str) -> timedelta:
    """Of `30m`, `24h`, `7d`. Raises `ValueError` for another text."""
    if (found := _PERIOD.fullmatch(text)) is None:
        raise ValueError(text)
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


Period = Annotated[str, StringConstraints(max_length=10), AfterValidator(_period)]


class Expectation(Model):
    every: Period
    """From the request of one run that delivers the dataset to that of the next."""
    within: Period
    """The time that the next one has from then on until its end."""

    @property
    def every_time(self) -> timedelta:
        return period(self.every)

    @property
    def within_time(self) -> timedelta:
        return period(self.within)
