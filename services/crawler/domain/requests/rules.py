"""Which rule of a dataset file an answer meets, and how long it asks to wait."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from services.crawler.domain.requests.conditions import Subject, holds
from services.crawler.domain.requests.lookup import NOT_READABLE, find_value
from shared.datasets.sources.durations import seconds_of
from shared.datasets.sources.responses import ResponseRule, Wait

MAX_WAIT_S = 86_400.0
"""What a source asks for beyond a day is not believed."""

RESET_HEADERS = ("retry-after", "ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset")
UNIX_FROM_S = 1_000_000_000
"""A header with a larger number means a moment, not a length of time."""

_CENTURY = 100


def matching_rule(rules: Sequence[ResponseRule], status: int, subject: Subject) -> ResponseRule | None:
    """The first that fits. The body is read only where a rule asks for it."""
    for rule in rules:
        if rule.status and not any(_is_status(status, one) for one in rule.status):
            continue
        if rule.when is None or holds(rule.when, subject):
            return rule
    return None


def _is_status(status: int, rule: int | str) -> bool:
    return status == rule or (isinstance(rule, str) and rule == f"{status // _CENTURY}xx")


def wait_s(wait: Wait | None, subject: Subject, now: datetime) -> float | None:
    """How long a rule waits; without a `wait`, as long as the headers ask for; None where nothing tells."""
    if wait is None:
        return asked_wait_s(subject, now)
    if wait.duration is not None:
        return seconds_of(wait.duration)
    if wait.until is not None:
        return _until(wait.until, now)
    if wait.header is not None:
        value: object = subject.header(wait.header)
    else:
        try:
            value = find_value(subject.body, wait.path or "")
        except NOT_READABLE:
            value = None
    return _bounded(_length(value, wait.form, now))


def asked_wait_s(subject: Subject, now: datetime) -> float | None:
    """By `Retry-After` and the headers of limits, in seconds, as a Unix time, or as a date."""
    for name in RESET_HEADERS:
        text = subject.header(name)
        if text is None:
            continue
        number = _number(text)
        form = "date" if number is None else "unix" if number >= UNIX_FROM_S else "seconds"
        if (found := _bounded(_length(text, form, now))) is not None:
            return found
    return None


def _length(value: object, form: str, now: datetime) -> float | None:
    if form == "date":
        return _until_date(str(value), now) if value is not None else None
    number = _number(value)
    if number is None:
        return None
    match form:
        case "unix":
            return number - now.timestamp()
        case "unix_ms":
            return number / 1000 - now.timestamp()
        case "per_second":
            return 1 / number if number > 0 else None
    return number


def _number(value: object) -> float | None:
    try:
        return float(str(value)[:40])
    except ValueError:
        return None


def _until_date(text: str, now: datetime) -> float | None:
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
    date = date.replace(tzinfo=UTC) if date.tzinfo is None else date
    return (date - now).total_seconds()


def _until(name: str, now: datetime) -> float:
    now = now.astimezone(UTC)
    if name == "next_minute":
        end = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    elif name == "next_hour":
        end = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    else:
        end = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return (end - now).total_seconds()


def _bounded(seconds: float | None) -> float | None:
    return None if seconds is None or seconds != seconds else min(MAX_WAIT_S, max(0.0, seconds))  # noqa: PLR0124 - not a number
