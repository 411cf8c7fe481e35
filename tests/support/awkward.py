"""Sources that are awkward in every way that pages can be, and a model of how a crawl of them may end."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from aiohttp import web
from hypothesis import strategies as st

from tests.support import source as faults
from tests.support.source import SourceServer

Total = Literal["none", "right", "stale", "low", "high", "capped", "garbage", "sometimes"]
Links = Literal["none", "noise", "numbers", "cursors"]
Beyond = Literal["[]", "null", "{}", "204", "empty", "404", "400", "last", "first", "500", "no key"]
Error = Literal[
    "500", "html", "cut off", "closed", "403", "null", "{}", "empty", "no key", "other key", "other shape"
]

QUIET: frozenset[Beyond] = frozenset({"[]", "null", "{}", "204", "empty", "no key"})
"""Answers behind the last page that have no records and report no error."""

FAILING: tuple[Error, ...] = ("500", "html", "cut off", "closed", "403")
ELSEWHERE: tuple[Error, ...] = ("other key", "other shape")
EMPTY: frozenset[Error] = frozenset({"null", "{}", "empty", "no key"})
"""Answers without an array: whether they lack their records is seen by what is behind them."""


@dataclass(frozen=True)
class Change:
    """What happens to the list just before the request of this number (from 0) is answered."""

    before_request: int
    kind: Literal["insert", "delete"]
    place: float
    """In the list, from 0 to 1."""


@dataclass(frozen=True)
class Awkward:
    records: int
    size: int
    """Asked for."""
    own_size: int | None
    """The source's own page size; None: as asked for."""
    first: int
    first_is_configured: bool
    total: Total
    links: Links
    beyond: Beyond
    under_key: bool
    ignores_page: bool
    hidden: frozenset[int]
    """Records that the source cuts out of a page after it made it."""
    changes: tuple[Change, ...] = ()
    errors: Mapping[int, Error] = field(default_factory=dict)
    """By page: what it always gives in place of its records."""
    blips: frozenset[int] = frozenset()
    """Numbers of requests that fail once."""
    limit: int | None = None
    batch_rows: int = 50_000
    repeats_end: bool = False
    ends_with_status: bool = False

    @property
    def page_rows(self) -> int:
        return self.own_size or self.size

    def pagination(self) -> dict[str, Any]:
        return {
            "kind": "page",
            "page_param": "page",
            "size_param": "size",
            "size": self.size,
            "total_header": None if self.total == "none" else "X-Total",
            "first": self.first if self.first_is_configured else None,
            "repeats": "end" if self.repeats_end else "fault",
            "end_statuses": [int(self.beyond)] if self.ends_with_status else [],
        }

    @property
    def is_plain(self) -> bool:
        """Nothing about it is wrong: its crawl has to succeed."""
        return (
            self.total in {"none", "right", "garbage"}
            and not (self.hidden or self.changes or self.errors or self.ignores_page)
            and self.beyond in QUIET
        )


@st.composite
def faulty_pages(draw: st.DrawFn) -> dict[int, Error]:
    """None mostly; else one that fails, or one of the first few that answers without its records."""
    match draw(st.integers(0, 7)):
        case 0:
            return {draw(st.integers(0, 8)): draw(st.sampled_from(FAILING))}
        case 1 | 2 | 3:
            return {draw(st.integers(0, 3)): draw(st.sampled_from([*sorted(EMPTY), *ELSEWHERE]))}
    return {}


@st.composite
def awkward_sources(draw: st.DrawFn) -> Awkward:
    records = draw(st.integers(0, 24))
    size = draw(st.integers(1, 6))
    own_size = draw(st.none() | st.integers(1, 8))
    total: Total = draw(st.sampled_from(Total.__args__))  # type: ignore[attr-defined]
    beyond: Beyond = draw(st.sampled_from(Beyond.__args__))  # type: ignore[attr-defined]
    ignores_page = draw(st.integers(0, 9)) == 0
    is_odd = draw(st.booleans())
    return Awkward(
        records=records,
        size=size,
        own_size=own_size,
        first=draw(st.integers(0, 1)),
        first_is_configured=draw(st.booleans()),
        total=total,
        links=draw(st.sampled_from(Links.__args__)),  # type: ignore[attr-defined]
        beyond=beyond,
        under_key=draw(st.booleans()) or beyond == "no key",
        ignores_page=ignores_page,
        hidden=draw(st.frozensets(st.integers(0, 24), max_size=4)) if is_odd else frozenset(),
        changes=tuple(
            draw(
                st.lists(
                    st.builds(
                        Change, st.integers(0, 12), st.sampled_from(["insert", "delete"]), st.floats(0, 1)
                    ),
                    max_size=3,
                )
            )
        )
        if is_odd
        else (),
        errors=draw(faulty_pages()),
        blips=draw(st.frozensets(st.integers(0, 12), max_size=2)),
        limit=draw(st.none() | st.integers(0, 30)) if draw(st.integers(0, 3)) == 0 else None,
        batch_rows=draw(st.sampled_from([1, 4, 9, 50_000])),
        repeats_end=beyond == "last" and not ignores_page and draw(st.booleans()),
        ends_with_status=beyond in {"404", "400"} and draw(st.booleans()),
    )


class AwkwardServer(SourceServer):
    """Serves one such source at `/things`, and keeps what it did."""

    def __init__(self, shape: Awkward) -> None:
        super().__init__({})
        self.shape = shape
        self.rows = [{"id": n} for n in range(shape.records)]
        self.stable = {n for n in range(shape.records) if n not in shape.hidden}
        """Records that were there and to be seen all the time."""
        self.inserted = self.deleted = 0
        self.answered_nothing = False
        """A page of which all records are hidden looks like the end."""
        self.told: set[str] = set()
        """Totals."""
        self._requests = 0

    def _fault(self, request: web.Request) -> faults.Fault | None:
        number, self._requests = self._requests, self._requests + 1
        if number in self.shape.blips:
            return faults.status(503)
        for change in self.shape.changes:
            if change.before_request == number:
                self._change(change, number)
        place = self._place(request)
        if (error := self.shape.errors.get(place)) is not None:
            return self._error(error, place)
        return self._page_at(place)

    def _error(self, error: Error, place: int) -> faults.Fault:
        match error:
            case "500" | "403" as status:
                return faults.status(int(status))
            case "html":
                return faults.html()
            case "cut off":
                return faults.truncated()
            case "closed":
                return faults.close()
            case "other key" | "other shape":
                rows = [{"id": 500 + n} for n in range(self.shape.size)]
                other = {"entries": rows} if error == "other key" else {"result": {"rows": rows}}
                return faults.body(json.dumps(other).encode(), **self._headers(place))
            case form:
                shape = self.shape
                has_more = (place + 1) * shape.page_rows < len(self.rows)
                leads_on = not shape.ignores_page and (shape.links != "cursors" or place > 0)
                self.answered_nothing = self.answered_nothing or not (has_more and leads_on)
                return self._empty(form, place if place % 2 else None)

    def _change(self, change: Change, number: int) -> None:
        place = min(len(self.rows), int(change.place * (len(self.rows) + 1)))
        if change.kind == "insert":
            self.rows.insert(place, {"id": 1000 + number * 10 + self.inserted})
            self.inserted += 1
        elif self.rows:
            gone = self.rows.pop(min(place, len(self.rows) - 1))
            self.stable.discard(gone["id"])
            self.deleted += 1

    def _place(self, request: web.Request) -> int:
        """The page asked for, from 0."""
        cursor = request.query.get("at")
        if cursor is not None:
            return int(cursor)
        if self.shape.ignores_page:
            return 0
        if self.shape.links == "cursors":
            return 0 if int(request.query["page"]) == self.shape.first else -1
        return int(request.query["page"]) - self.shape.first

    def _page_at(self, place: int) -> faults.Fault:
        size = self.shape.page_rows
        if place < 0:
            return faults.status(404)
        cut = self.rows[place * size : (place + 1) * size]
        if not cut and (place > 0 or self.rows):
            return self._behind()
        shown = [row for row in cut if row["id"] not in self.shape.hidden]
        if cut and not shown:
            self.answered_nothing = True
        return self._answer_of(shown, place)

    def _behind(self) -> faults.Fault:
        last = max(0, -(-len(self.rows) // self.shape.page_rows) - 1)
        match self.shape.beyond:
            case "404" | "400" | "500" as status:
                return faults.status(int(status))
            case "last":
                return self._page_at(last)
            case "first":
                return self._page_at(0)
            case "204":
                return _no_content
            case form:
                return self._empty(form)

    def _empty(self, form: str, place: int | None = None) -> faults.Fault:
        headers = self._headers(place)
        if form == "empty":
            return faults.body(b"", **headers)
        if form == "no key":
            return faults.body(b'{"page": {"rows": 0}}', **headers)
        if form == "[]" and self.shape.under_key:
            return faults.body(b'{"items": []}', **headers)
        if form == "null" and self.shape.under_key:
            return faults.body(b'{"items": null}', **headers)
        return faults.body(form.encode(), **headers)

    def _answer_of(self, rows: Sequence[Any], place: int) -> faults.Fault:
        body: Any = {"items": rows} if self.shape.under_key else rows
        if not rows and not self.shape.under_key:
            body = []
        return faults.body(json.dumps(body).encode(), **self._headers(place))

    def _headers(self, place: int | None) -> dict[str, str]:
        headers = {}
        if (total := self._total(place)) is not None:
            self.told.add(total)
            headers["X_Total"] = total
        if (link := self._link(place)) is not None:
            headers["Link"] = link
        return headers

    def _total(self, place: int | None) -> str | None:  # noqa: PLR0911 - one for each kind of total
        now = sum(row["id"] not in self.shape.hidden for row in self.rows)
        match self.shape.total:
            case "none":
                return None
            case "right":
                return str(now)
            case "stale":
                return str(len([n for n in range(self.shape.records) if n not in self.shape.hidden]))
            case "low":
                return str(max(0, now - 3))
            case "high":
                return str(now + 3)
            case "capped":
                return str(min(now, 5))
            case "garbage":
                return "many"
            case "sometimes":
                return None if place is None or place % 2 == 0 else str(now)

    def _link(self, place: int | None) -> str | None:
        match self.shape.links:
            case "none":
                return None
            case "noise":
                return "</app.css>; rel=preload; as=style"
            case _:
                if place is None:
                    return None
                if (place + 1) * self.shape.page_rows >= len(self.rows):
                    return '</things>; rel="first"'
                if self.shape.links == "cursors":
                    return f'</things?at={place + 1}>; rel="next"'
                number = place + 1 + self.shape.first
                return f'</things?page={number}&size={self.shape.size}>; rel="next"'


async def _no_content(_: web.Request) -> web.StreamResponse:
    return web.Response(status=204)


def objection(server: AwkwardServer, status: str, came: set[int]) -> str | None:  # noqa: PLR0911 - a rule each
    """Why a crawl may not have ended like this; None: it may."""
    shape = server.shape
    lost = server.stable - came
    wanted = len(server.stable) if shape.limit is None else min(shape.limit, len(server.stable))
    if shape.is_plain and status != "succeeded":
        return f"nothing was wrong with it, and the run is {status}"
    if status != "succeeded":
        return None
    if shape.limit is not None:
        # The source decides which records are the first: the number asked for must be there.
        lost = set(sorted(lost)[: max(0, wanted - len(came))])
    if not lost:
        return None
    if str(len(came)) in server.told and (shape.ignores_page or shape.page_rows < shape.size or shape.hidden):
        # Its total is as wrong as its pages: it equals what came, and the last page is repeated or short.
        return None
    if (
        shape.errors.get(0) in {"500", "403", *EMPTY}
        and shape.first == 0
        and not shape.first_is_configured
        and came
    ):
        return None  # so does a source that has no page 0
    if server.answered_nothing and not any(told.isdigit() and int(told) > len(came) for told in server.told):
        return None  # an empty page is an end, and no total contradicts it
    if shape.repeats_end and server.inserted >= shape.page_rows:
        return None  # its file calls a page that came before the end, and records that are added in front make one
    # Who deletes a record that was read moves another one past the reader. Where a total is told, one goes missing in
    # it; where records were added too, a crawl cannot tell.
    told = shape.total in {"right", "stale", "high"}
    if len(lost) <= server.deleted and (not told or server.inserted):
        return None
    return f"succeeded without {sorted(lost)}"


NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
