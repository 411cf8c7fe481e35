"""Times and numbers by which records are new: how they are read and written. Pure."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from shared.datasets.faults import FaultError

Moment = datetime | int
"""A mark: a time in UTC, or a number that grows."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,9})?")
_PER_SECOND = {"unix": 1, "unix_ms": 10**3, "unix_us": 10**6}


def read_start(value: str | int, *, is_number: bool) -> Moment:
    """What a file, a request or a mark writes. Raises `FaultError`."""
    if is_number:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, str) and _WHOLE.fullmatch(value):
            return int(value)
        raise FaultError(f"{value!r} is not a whole number")
    found = read_moment(value, ("rfc3339",)) if isinstance(value, str) else None
    if found is None:
        raise FaultError(
            f"{value!r} is not a day or time: write one such as 2024-01-31 or 2024-01-31T06:00:00Z"
        )
    return found


def read_moment(value: object, formats: tuple[str, ...]) -> Moment | None:
    """A value of a record, by the first format that fits; None where none does."""
    for form in formats:
        found = _read(value, form)
        if found is not None:
            return found
    return None


def _read(value: object, form: str) -> Moment | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        if form == "integer":
            return int(str(value)) if _WHOLE.fullmatch(str(value)) else None
        if form in _PER_SECOND:
            return _of_number(str(value), _PER_SECOND[form])
        return _of_text(value, form) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None


def _of_number(text: str, per_second: int) -> datetime | None:
    if not _NUMBER.fullmatch(text):
        return None
    return _EPOCH + timedelta(microseconds=int(Decimal(text) * 10**6 / per_second))


def _of_text(text: str, form: str) -> datetime:
    """Raises `ValueError`."""
    is_iso = form in {"rfc3339", "date"}
    moment = datetime.fromisoformat(text) if is_iso else datetime.strptime(text, form)  # noqa: DTZ007 - below
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def write_moment(moment: Moment, form: str = "rfc3339") -> str | int:
    """In one of the formats of placeholders; a number stays one."""
    if isinstance(moment, int):
        return moment
    moment = moment.astimezone(UTC)
    if form == "rfc3339":
        kind = "microseconds" if moment.microsecond else "seconds"
        return moment.isoformat(timespec=kind).replace("+00:00", "Z")
    if form == "date":
        return moment.date().isoformat()
    if form == "days":
        return (moment - _EPOCH).days
    if form in _PER_SECOND:
        return (moment - _EPOCH) // timedelta(microseconds=1) * _PER_SECOND[form] // 10**6
    return moment.strftime(form)
