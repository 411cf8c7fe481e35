"""The units of a dataset: what one chain of requests is made for. They are frozen in the plan."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

from shared.datasets.sources.durations import later, seconds_of
from shared.datasets.sources.each import EachNumber, EachValue
from shared.datasets.sources.incremental import Incremental
from shared.datasets.sources.moments import Moment, read_start, write_moment

Unit = dict[str, Any]
"""Values by the names of their placeholders; times as texts. It is JSON."""

MAX_UNITS = 500_000
"""Some 400 bytes each while a plan is made."""

_YEAR_1 = datetime(1, 1, 1, tzinfo=UTC)


class TooManyUnitsError(ValueError):
    """A plan would have more units than can be crawled. The message tells what."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which records a run asks for: from `since` up to, and without, `until`."""

    since: Moment | None
    until: Moment | None


def bounds_of(
    options: Incremental,
    *,
    now: datetime,
    mark: Moment | None,
    since: str | None = None,
    until: str | None = None,
    full: bool = False,
) -> Bounds:
    """Frozen at the time of the request. A request's own bounds count first. Raises `FaultError` for an unreadable one."""
    start = None if options.start is None else read_start(options.start, is_number=options.is_number)
    begin = start
    if since is not None:
        begin = read_start(since, is_number=options.is_number)
    elif mark is not None and not full:
        begin = _before(mark, options.lookback)
    end: Moment | None = None
    if until is not None:
        end = read_start(until, is_number=options.is_number)
    elif not options.is_number:
        end = _before(now, options.settle)
    if options.oldest is not None:
        oldest = now - timedelta(seconds=seconds_of(options.oldest))
        begin = oldest if not isinstance(begin, datetime) else max(begin, oldest)
    return Bounds(begin, end)


def _before(moment: Moment, length: str | None) -> Moment:
    if length is None or isinstance(moment, int):
        return moment
    try:
        return later(moment, length, -1)
    except OverflowError:
        return _YEAR_1


def windows_of(options: Incremental, bounds: Bounds) -> Iterator[Unit]:
    """Half-open, aligned to `start`; without `window` there is one. None where nothing is to be asked for.

    Raises `TooManyUnitsError`.
    """
    since, until = bounds.since, bounds.until
    if isinstance(since, datetime) and isinstance(until, datetime) and since >= until:
        return
    if options.window is None or not isinstance(since, datetime) or not isinstance(until, datetime):
        yield _window(options, since, until, since)
        return
    if (count := (until - since).total_seconds() / seconds_of(options.window)) > MAX_UNITS:
        raise TooManyUnitsError(
            f"{count:,.0f} windows of {options.window} would be asked for, at most {MAX_UNITS:,} are: write longer ones"
        )
    start = read_start(options.start, is_number=False) if options.start is not None else since
    assert isinstance(start, datetime)  # noqa: S101 - the model has no number with a window
    anchor, place = _aligned(start, options.window, since)
    while anchor < until:
        following = later(start, options.window, place + 1)
        yield _window(options, max(anchor, since), min(following, until), since)
        anchor, place = following, place + 1


def _aligned(start: datetime, window: str, since: datetime) -> tuple[datetime, int]:
    """The beginning of the window that `since` is in, and its number from `start`."""
    place = int((since - start).total_seconds() // seconds_of(window))
    while later(start, window, place) > since:
        place -= 1
    while later(start, window, place + 1) <= since:
        place += 1
    return later(start, window, place), place


def _window(options: Incremental, begin: Moment | None, end: Moment | None, since: Moment | None) -> Unit:
    if options.step is not None and isinstance(end, datetime):
        end = _before(end, options.step)
    values = {"window.from": begin, "window.to": end, "since": since}
    return {name: write_moment(value) for name, value in values.items() if value is not None}


def each_of(
    each: EachValue | EachNumber, params: Mapping[str, Any], last: int | None = None
) -> Iterator[Unit]:
    """`last`: of numbers whose end the source told. Raises `TooManyUnitsError`."""
    name = f"each.{each.name}"
    if isinstance(each, EachNumber):
        end = last if each.last is None else each.last
        if end is None:
            return
        if (end - each.first) // each.step >= MAX_UNITS:
            raise TooManyUnitsError(f"{each.name} has more than {MAX_UNITS:,} numbers")
        yield from ({name: number} for number in range(each.first, end + 1, each.step))
        return
    values: Any = each.values
    if isinstance(values, str):
        values = params.get(values.strip("{}").removeprefix("param."))
        values = [] if values is None else values if isinstance(values, list) else [values]
    yield from ({name: value} for value in values)


def crossed(parts: Sequence[Sequence[Unit]]) -> Iterator[Unit]:
    """Every combination, the last part changing fastest. Raises `TooManyUnitsError`."""
    count = 1
    for part in parts:
        count *= len(part)
    if count > MAX_UNITS:
        raise TooManyUnitsError(f"{count:,} combinations would be asked for, at most {MAX_UNITS:,} are")
    for combination in product(*parts):
        unit: Unit = {}
        for values in combination:
            unit |= values
        yield unit


def values_of(unit: Unit, *, is_number: bool) -> dict[str, Any]:
    """The unit as a request uses it: times are times again."""
    return {
        name: read_start(value, is_number=is_number) if name.startswith(("window.", "since")) else value
        for name, value in unit.items()
    }
