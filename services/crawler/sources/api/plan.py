"""The plan of a source of written requests: its units, frozen, with the values that they are asked for with."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from services.crawler.adapters.id_file import pieces_of
from services.crawler.adapters.marks import Mark
from services.crawler.domain import plans
from services.crawler.domain.fetching import FetchFailure
from services.crawler.domain.plans import CrawlPlan, FrozenValues, IdPiece, PlanFailure, failed_plan
from services.crawler.domain.requests.rendering import NoValueError
from services.crawler.domain.requests.steps import first_place
from services.crawler.domain.requests.units import (
    MAX_UNITS,
    Bounds,
    TooManyUnitsError,
    Unit,
    bounds_of,
    crossed,
    each_of,
    windows_of,
)
from services.crawler.domain.urls import MAX_URL_CHARS
from services.crawler.http.api_client import ApiClient, LongWaitError
from services.crawler.sources.api.context import Requests
from services.crawler.sources.base import IdStore
from shared.datasets.faults import FaultError
from shared.datasets.model import Dataset
from shared.datasets.sources.api import RequestSource
from shared.datasets.sources.each import EachNumber, EachParent
from shared.datasets.sources.limits import Param
from shared.datasets.sources.moments import read_start, write_moment
from shared.errors import TransientError
from shared.events.models import DatasetParameters
from shared.reasons import Reason


class PlanError(Exception):
    """The source does not tell what the plan needs."""

    def __init__(self, failure: PlanFailure) -> None:
        super().__init__(failure.detail)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class ApiPlanContext:
    """A dataset that is to be planned."""

    run_id: str
    dataset: Dataset
    requested_at: datetime
    parameters: DatasetParameters
    mark: Mark | None
    """Of the newest complete run."""
    variables: Callable[[str], str | None]
    """Of the crawler's process."""
    parents: Callable[[EachParent], AsyncIterator[Unit]]
    """The values of a parent's rows in this run."""
    client: ApiClient
    ids: IdStore
    folder: Path

    @property
    def source(self) -> RequestSource:
        source = self.dataset.source
        assert isinstance(source, RequestSource)  # noqa: S101 - the planner looks at the form
        return source


async def plan(context: ApiPlanContext) -> CrawlPlan:
    """Only what a range of numbers ends with is asked for. What cannot be planned gives a failed plan, not an error."""
    try:
        return await _plan(context)
    except PlanError as error:
        return failed_plan(context.run_id, context.dataset.name, error.failure)
    except (FaultError, NoValueError, TooManyUnitsError, plans.UnbelievableError) as error:
        is_too_large = isinstance(error, TooManyUnitsError | plans.UnbelievableError)
        reason = Reason.TOO_LARGE if is_too_large else Reason.SCHEMA
        why = PlanFailure(url="", reason=reason, detail=str(error))
        return failed_plan(context.run_id, context.dataset.name, why)


async def _plan(context: ApiPlanContext) -> CrawlPlan:
    source, dataset = context.source, context.dataset
    frozen = freeze(context)
    requests = Requests.of(dataset, frozen, context.client)
    units = await _units(context, frozen, requests)
    count = len(units)
    limit = context.parameters.limit
    if not count:
        return plans.plan_nothing(context.run_id, dataset.name, limit=limit).model_copy(
            update={"values": frozen}
        )
    if source.pagination.kind == "none" and limit is None:
        made = plans.plan_units(
            context.run_id,
            dataset.name,
            units=count,
            values=frozen,
            requests_per_second=source.requests_per_second,
        )
    else:
        url = requests.shown(units[0], first_place(source.pagination))
        made = plans.plan_unit_chains(
            context.run_id, dataset.name, units=count, values=frozen, first_url=url[:4000], limit=limit
        )
    return await _with_units(context, made, units)


def freeze(context: ApiPlanContext) -> FrozenValues:
    """Raises `FaultError` for a value that the file or the request lacks, or that is not of its type."""
    asked = context.parameters
    params = {
        name: value_of_param(name, param, asked.params, context.variables)
        for name, param in context.source.params.items()
    }
    if unknown := sorted(asked.params.keys() - params.keys()):
        there = ", ".join(params) or "none"
        raise FaultError(f"{unknown[0]} is not a parameter of {context.dataset.name}: there are {there}")
    now = str(write_moment(context.requested_at))
    options = context.source.incremental
    if options is None:
        if asked.since or asked.until:
            raise FaultError(
                f"{context.dataset.name} has no `incremental`: since and until have no meaning for it"
            )
        return FrozenValues(params=params, now=now)
    mark = None if asked.full else context.mark
    known = (
        None if mark is None or mark.value is None else read_start(mark.value, is_number=options.is_number)
    )
    bounds = bounds_of(
        options, now=context.requested_at, mark=known, since=asked.since, until=asked.until, full=asked.full
    )
    is_own = bool(asked.since or asked.until or asked.limit is not None)
    return FrozenValues(
        params=params,
        now=now,
        since=None if bounds.since is None else write_moment(bounds.since),
        until=None if bounds.until is None else write_moment(bounds.until),
        token=None if mark is None or is_own else mark.token,
        is_own=is_own,
    )


def value_of_param(
    name: str, param: Param, asked: Mapping[str, Any], variables: Callable[[str], str | None]
) -> Any:
    """Of the request, else of the process, else the file's. Raises `FaultError`."""
    value = asked.get(name)
    if value is None and param.env is not None:
        value = variables(param.env)
    if value is None:
        value = param.default
    if value is None:
        if param.required:
            where = f"set the variable {param.env} for the crawler, or " if param.env else ""
            raise FaultError(f"params.{name} has no value: {where}give it with the request")
        return None
    return _typed(name, param, value)


def _typed(name: str, param: Param, value: Any) -> Any:
    if param.type == "list":
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return list(value) if isinstance(value, list | tuple) else [value]
    if isinstance(value, list | tuple | dict):
        raise FaultError(f"params.{name}: one value is expected")
    if param.type == "int64":
        try:
            return int(value)
        except ValueError as error:
            raise FaultError(f"params.{name}: {str(value)[:60]!r} is not a whole number") from error
    if param.type == "boolean":
        return str(value).lower() in {"true", "1", "yes"}
    if param.type in {"date", "timestamp"}:
        read_start(str(value), is_number=False)
    return str(value)


async def _units(context: ApiPlanContext, frozen: FrozenValues, requests: Requests) -> list[Unit]:
    """In order: windows are innermost, so that a later window is asked for later. Raises `TooManyUnitsError`."""
    source = context.source
    parts: list[list[Unit]] = []
    for each in source.for_each:
        if isinstance(each, EachParent):
            parts.append(await _bounded(context.parents(each)))
        else:
            last = await _last_number(context, requests, each) if isinstance(each, EachNumber) else None
            parts.append(list(each_of(each, frozen.params, last)))
    if source.incremental is not None:
        if frozen.token is not None:
            parts.append([{}])
        else:
            parts.append(await asyncio.to_thread(lambda: list(_windows(source, frozen))))
    return await asyncio.to_thread(lambda: list(crossed(parts)))


async def _last_number(context: ApiPlanContext, requests: Requests, each: EachNumber) -> int | None:
    """What the source tells now. Raises `PlanError` where it tells none, `TransientError` where it asks to wait."""
    if each.last_from is None:
        return None
    try:
        answer = await requests.ask_number(each.last_from, each.last_path, context.folder)
    except LongWaitError as error:
        raise TransientError(f"{context.dataset.name} cannot be planned yet: {error}") from error
    if isinstance(answer, FetchFailure):
        raise PlanError(
            PlanFailure(url=answer.url[:MAX_URL_CHARS], reason=Reason.FETCH, detail=answer.detail)
        )
    return answer.value


def _windows(source: RequestSource, frozen: FrozenValues) -> Iterator[Unit]:
    options = source.incremental
    assert options is not None  # noqa: S101 - the caller looks
    since, until = (
        None if value is None else read_start(value, is_number=options.is_number)
        for value in (frozen.since, frozen.until)
    )
    return windows_of(options, Bounds(since, until))


async def _bounded(rows: AsyncIterator[Unit]) -> list[Unit]:
    """Each once, in the order of the parent."""
    found: dict[str, Unit] = {}
    async for unit in rows:
        found.setdefault(json.dumps(unit, sort_keys=True), unit)
        if len(found) > MAX_UNITS:
            raise TooManyUnitsError(f"the parent has more than {MAX_UNITS:,} rows")
    return list(found.values())


async def _with_units(context: ApiPlanContext, made: CrawlPlan, units: list[Unit]) -> CrawlPlan:
    """A long list goes into pieces, which are durable before the plan names them."""
    lines = await asyncio.to_thread(
        lambda: [
            json.dumps(line, separators=(",", ":")).encode()
            for line in _lines(units, made.requests_per_batch)
        ]
    )
    if sum(map(len, lines)) <= plans.IDS_IN_PLAN_BYTES:
        return made.model_copy(update={"ids": tuple(line.decode() for line in lines)})
    pieces: list[IdPiece] = []
    first = 0
    for piece in pieces_of(lines):
        sha256 = await context.ids.put_ids(made.run_id, made.dataset, b"\n".join(piece))
        pieces.append(IdPiece(first=first, sha256=sha256))
        first += len(piece)
    return made.model_copy(update={"pieces": tuple(pieces)})


def _lines(units: Iterable[Unit], per_line: int) -> Iterator[list[Unit]]:
    left = iter(units)
    while line := list(islice(left, per_line)):
        yield line
