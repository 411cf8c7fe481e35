"""`onpoint datasets state`: how far the complete runs of a dataset reached, and what the next one begins with."""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from console.cli import environment
from console.cli.arguments import requester
from console.cli.errors import CommandError, WrongUseError
from console.formatting import did_you_mean
from shared.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from services.crawler.adapters.marks import Mark
    from shared.datasets.sources.incremental import Incremental

SHOWN = 10


def state(name: str, value: str | None, *, reset: bool) -> dict[str, Any]:
    """The newest marks; with `value` or `reset` after one more was written.

    Raises `WrongUseError` for a dataset that has none, and `CommandError` where staging does not answer.
    """
    options = _incremental(name)
    if value is not None and reset:
        raise WrongUseError("--set and --reset cannot be together")
    try:
        return asyncio.run(_state(name, options, value, reset=reset))
    except (TransientError, PermanentError) as error:
        raise CommandError(f"the state of {name} cannot be read: {error}") from error


def _incremental(name: str) -> "Incremental":
    catalog = environment.catalog()
    if name not in catalog:
        raise WrongUseError(
            catalog.why_refused(name) or f"there is no dataset {name}{did_you_mean(name, catalog)}"
        )
    options: Incremental | None = getattr(catalog[name].source, "incremental", None)
    if options is None:
        raise WrongUseError(f"{name} has no `incremental` in its file: every run brings all of it")
    return options


async def _state(name: str, options: "Incremental", value: str | None, *, reset: bool) -> dict[str, Any]:
    from services.crawler.adapters.marks import Mark, Marks
    from shared.datasets.faults import FaultError
    from shared.datasets.sources.moments import read_start, write_moment

    marks = Marks(environment.staging())
    if value is not None or reset:
        now = datetime.now(UTC)
        try:
            read = None if value is None else write_moment(read_start(value, is_number=options.is_number))
        except FaultError as error:
            raise WrongUseError(f"--set {value}: {error}") from error
        mark = Mark(
            dataset=name,
            run_id=f"set-{now:%Y%m%dT%H%M%S%f}",
            requested_at=now,
            value=read,
            set_by=requester(),
        )
        await marks.put_if_absent(mark)
    found = await marks.all(name)
    return {
        "dataset": name,
        "begins_with": None if not found else found[0].value,
        "start": options.start,
        "lookback": options.lookback,
        "marks": [_mark(mark) for mark in found],
    }


def _mark(mark: "Mark") -> dict[str, Any]:
    return mark.model_dump(mode="json", exclude={"version", "dataset"})


def lines_of(document: Mapping[str, Any]) -> Iterator[str]:
    """For people; of many marks the newest."""
    marks = document["marks"]
    if not marks or (marks[0]["value"] is None and marks[0]["token"] is None):
        start = document["start"]
        yield f"{document['dataset']}: the next run begins anew" + (
            f", at {start}" if start is not None else ""
        )
    elif marks[0]["value"] is not None:
        back = f", less {document['lookback']}" if document["lookback"] else ""
        yield f"{document['dataset']}: the next run begins at {marks[0]['value']}{back}"
    else:
        yield f"{document['dataset']}: the next run begins with the source's token"
    for mark in marks[:SHOWN]:
        who = f"set by {mark['set_by']}" if mark["set_by"] else f"run {mark['run_id']}"
        value = (
            mark["value"] if mark["value"] is not None else "token" if mark["token"] is not None else "anew"
        )
        yield f"  {mark['requested_at']}  {value}  {who}"
    if len(marks) > SHOWN:
        yield f"  and {len(marks) - SHOWN} older"
