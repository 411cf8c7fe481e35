"""A dataset's plan: the requests of its crawl, cut into batches. Stored before the first of them.

Everything about batch n follows from a few totals, so the plan of 100 million records is a small object.
"""

import json
from bisect import bisect_right
from math import ceil
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.events.models import (
    Count,
    CrawlWork,
    CursorWork,
    DatasetName,
    IdWork,
    PageWork,
    ReplayWork,
    RunId,
    Sha256,
    Text,
)
from shared.reasons import Reason

BATCH_REQUESTS = 1_000
"""Of a batch at most, as its rows are bounded: seconds of work, so that a crash costs little."""

BATCH_RATE_S = 100
"""Of a source's rate in a batch at most: three workers share it, and a handler has 600 s."""

MAX_BATCHES = 20_000
"""A thousand million rows in full batches; above it a total is not believed."""

MAX_CHAIN_BATCHES = 100_000
"""A chain that is longer has no end."""

MAX_IDS = 5_000_000

IDS_IN_PLAN_BYTES = 2**20
"""More ids are stored in pieces beside the plan: a plan is read and cached whole."""


POSITIONS_PER_BATCH = 2**32
"""Of planned units, whose numbers of records are not known ahead."""


class UnbelievableError(ValueError):
    """A source promises more than a plan may have. The message tells what."""


class PlanFailure(BaseModel):
    """Why there is no plan: the source did not answer the request for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Text
    reason: Reason
    detail: Text


class Replayed(BaseModel):
    """The run whose results the batches copy instead of requesting a source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: RunId
    stage: Literal["crawler", "processor"]


class FrozenValues(BaseModel):
    """What a plan of requests was made with: nothing is looked up again while it is crawled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    params: dict[str, Any] = {}
    """By name, from the request of the run, the process, or the file."""
    since: str | int | None = None
    until: str | int | None = None
    token: Any = None
    """The state that the run before left: a cursor, or an URL."""
    now: str
    is_own: bool = False
    """The request of the run has bounds of its own: it leaves no mark."""


class IdPiece(BaseModel):
    """Ids of some batches, as an object beside the plan: a line per batch, each a JSON array."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: Count
    """Sequence of the first batch."""
    sha256: Sha256


class CrawlPlan(BaseModel):
    """The content of `runs/<run_id>/<dataset>/plan.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    run_id: RunId
    dataset: DatasetName
    kind: Literal["pages", "ids", "single", "chain", "units", "replay", "failed"]
    rows: Count | None = None
    """Records to expect, the limit applied; None where the source promises no number."""
    limit: Count | None = None
    requests: Count = 0
    requests_per_batch: Annotated[int, Field(ge=1)] = 1
    page_size: Count = 0
    """Rows on a full page, as the source sends them; the requested size may differ."""
    first_page: Count = 1
    """The number that the source gives its first page."""
    open: bool = False
    """Of pages: the crawl goes on behind the last planned one until the source shows its end."""
    ids: tuple[str, ...] = ()
    """The list that the plan was made from, in order, as one JSON array per batch: a batch parses its own only."""
    pieces: tuple[IdPiece, ...] = ()
    """The same list where it is long, in the order of the batches."""
    more: Text | None = None
    """Of ids: a further page that the list names; its ids are not in the plan."""
    first_url: Text | None = None
    """Where a chain begins."""
    values: FrozenValues | None = None
    """Of a source whose file writes the request. Its units are in `ids`."""
    failed: PlanFailure | None = None
    replay: Replayed | None = None
    announced: Count | None = None
    """Set where a dead letter was redriven after the number of batches had been published: no more may follow."""

    @model_validator(mode="after")
    def a_failed_plan_has_its_failure(self) -> Self:
        if (self.kind == "failed") != (self.failed is not None):
            raise ValueError("failed: belongs to a plan of kind failed")
        if (self.kind == "replay") != (self.replay is not None):
            raise ValueError("replay: belongs to a plan of kind replay")
        return self

    @property
    def is_open(self) -> bool:
        """Its end is found by crawling it."""
        return self.kind == "chain" or self.open

    @property
    def batches(self) -> int | None:
        """None where the end is found by crawling it."""
        if self.announced is not None:
            return self.announced
        return None if self.is_open else self.units

    @property
    def units(self) -> int:
        """Batches that can be asked for at once: all that are planned, or the first of a chain."""
        if self.kind == "chain":
            return 1
        planned = ceil(self.requests / self.requests_per_batch)
        return 1 if planned == 0 and self.announced else planned

    def is_last_known(self, sequence: int) -> bool:
        """Whether what follows batch `sequence` is found by crawling it."""
        return self.is_open and sequence >= self.units - 1

    def work(self, sequence: int) -> CrawlWork:
        """What batch `sequence` does. Raises `IndexError` outside the plan; of a chain only the first is planned."""
        if not 0 <= sequence < self.units:
            raise IndexError(f"batch {sequence} of {self.units}")
        if self.replay is not None:
            return ReplayWork(run_id=self.replay.run_id, sequence=sequence, stage=self.replay.stage)
        if self.first_url is not None:
            return CursorWork(url=self.first_url, first_position=0)
        start = sequence * self.requests_per_batch
        stop = min(start + self.requests_per_batch, self.requests)
        if self.kind == "ids":
            return IdWork(start=start, stop=stop)
        return PageWork(first_page=start + 1, pages=max(1, stop - start))

    def first_position(self, sequence: int) -> int:
        """`_source_position` of the first record of a planned batch."""
        if self.kind == "units":
            return sequence * POSITIONS_PER_BATCH
        rows_per_request = self.page_size if self.kind == "pages" else 1
        return sequence * self.requests_per_batch * rows_per_request

    def ids_of(self, sequence: int) -> list[Any]:
        """Of a plan that holds its ids itself."""
        ids: list[Any] = json.loads(self.ids[sequence])
        return ids

    def piece_of(self, sequence: int) -> IdPiece:
        """The piece with the ids of batch `sequence`."""
        return self.pieces[bisect_right(self.pieces, sequence, key=lambda piece: piece.first) - 1]

    def most_rows(self, page: int) -> int | None:
        """How many rows of a page (from 1) belong to the run; None: all of them."""
        if self.limit is None:
            return None
        return max(0, min(self.page_size, self.limit - (page - 1) * self.page_size))


def plan_pages(
    run_id: str,
    dataset: str,
    *,
    total: int,
    page_size: int,
    limit: int | None,
    requests_per_second: float,
    batch_rows: int,
    first_page: int = 1,
) -> CrawlPlan:
    """Open unless `limit` ends it: a total may be capped, cached or behind. Raises `UnbelievableError`."""
    rows = total if limit is None else min(total, limit)
    pages = ceil(rows / page_size)
    per_batch = min(ceil(batch_rows / page_size), BATCH_REQUESTS)
    return CrawlPlan(
        run_id=run_id,
        dataset=dataset,
        kind="pages",
        rows=rows,
        limit=limit,
        requests=pages,
        requests_per_batch=_per_batch(pages, per_batch, requests_per_second),
        page_size=page_size,
        first_page=first_page,
        open=limit is None or total < limit,
    )


def plan_ids(
    run_id: str,
    dataset: str,
    *,
    count: int,
    limit: int | None,
    requests_per_second: float,
    more: str | None = None,
) -> CrawlPlan:
    """One request for each of `count` ids, which are yet to be put into the plan. `more`: where the list goes on."""
    return CrawlPlan(
        run_id=run_id,
        dataset=dataset,
        kind="ids",
        rows=count,
        limit=limit,
        requests=count,
        requests_per_batch=_per_batch(count, BATCH_REQUESTS, requests_per_second),
        more=more if limit is None or count < limit else None,
    )


def plan_single(run_id: str, dataset: str, *, limit: int | None) -> CrawlPlan:
    """One request answers everything; nothing is asked where nothing is wanted."""
    return CrawlPlan(
        run_id=run_id,
        dataset=dataset,
        kind="single",
        limit=limit,
        page_size=limit or 0,
        requests=0 if limit == 0 else 1,
    )


def plan_chain(
    run_id: str, dataset: str, *, first_url: str, page_size: int, limit: int | None, rows: int | None = None
) -> CrawlPlan:
    return CrawlPlan(
        run_id=run_id,
        dataset=dataset,
        kind="chain",
        rows=rows,
        first_url=first_url,
        page_size=page_size,
        limit=limit,
    )


def plan_units(
    run_id: str, dataset: str, *, units: int, values: FrozenValues, requests_per_second: float
) -> CrawlPlan:
    """One request for each unit. Raises `UnbelievableError`."""
    per_batch = _per_batch(units, BATCH_REQUESTS, requests_per_second)
    return CrawlPlan(
        run_id=run_id,
        dataset=dataset,
        kind="units",
        requests=units,
        requests_per_batch=per_batch,
        values=values,
    )


def plan_unit_chains(
    run_id: str, dataset: str, *, units: int, values: FrozenValues, first_url: str, limit: int | None
) -> CrawlPlan:
    """Pages of one unit after those of the other, until the last has shown its end."""
    return CrawlPlan(
        run_id=run_id,
        dataset=dataset,
        kind="chain",
        requests=units,
        requests_per_batch=BATCH_REQUESTS,
        first_url=first_url,
        limit=limit,
        values=values,
    )


def plan_nothing(run_id: str, dataset: str, *, limit: int | None) -> CrawlPlan:
    """The source is empty, or nothing of it is wanted."""
    return CrawlPlan(run_id=run_id, dataset=dataset, kind="pages", rows=0, limit=limit)


def plan_replay(
    old: CrawlPlan, *, run_id: str, batches: int, stage: Literal["crawler", "processor"]
) -> CrawlPlan:
    """As many batches as the old run has; each copies the result of `stage` for its batch there."""
    return CrawlPlan(
        run_id=run_id,
        dataset=old.dataset,
        kind="replay",
        rows=old.rows,
        requests=batches,
        replay=Replayed(run_id=old.run_id, stage=stage),
    )


def plan_anew(made: CrawlPlan) -> CrawlPlan:
    """The plan that replaces a failed one. Its number of batches, 1, is published: it has one batch, or fails too."""
    if made.failed is not None:
        return made
    if made.units > 1:
        why = PlanFailure(
            url="",
            reason=Reason.TOO_LARGE,
            detail=f"{made.units} batches would be needed where one was published: request a new run",
        )
        return failed_plan(made.run_id, made.dataset, why)
    return made.model_copy(update={"announced": 1})


def failed_plan(run_id: str, dataset: str, failure: PlanFailure) -> CrawlPlan:
    """A plan of one batch that is dead from the start, so that the run ends with its reason."""
    return CrawlPlan(run_id=run_id, dataset=dataset, kind="failed", requests=1, failed=failure)


def requests_at_rate(requests_per_second: float, most: int) -> int:
    """Of a batch at most, where `most` bounds it without a rate. A rate of 0 is no limit."""
    return min(most, max(1, ceil(requests_per_second * BATCH_RATE_S))) if requests_per_second else most


def _per_batch(requests: int, most: int, requests_per_second: float) -> int:
    if requests > most * MAX_BATCHES:
        raise UnbelievableError(f"{requests} requests would be needed, at most {most * MAX_BATCHES} are made")
    by_rate = requests_at_rate(requests_per_second, most)
    return min(most, max(by_rate, ceil(requests / MAX_BATCHES)))
