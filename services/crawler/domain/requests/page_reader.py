"""From an answer to lines of one record each, and what the page tells of the next one. Pure."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from services.crawler.domain import urls
from services.crawler.domain.answers import BadBodyError, no_json
from services.crawler.domain.records import BYTE_ORDER_MARK, MAX_RECORDS, Records, split_page
from services.crawler.domain.requests.columns import ColumnValues
from services.crawler.domain.requests.conditions import Subject, holds, link_value
from services.crawler.domain.requests.lookup import (
    NOT_READABLE,
    Json,
    elements,
    find,
    find_all,
    find_value,
    first_byte,
    matched,
    members,
    read,
)
from services.crawler.domain.requests.steps import PageFacts
from shared.datasets.sources.api import RequestSource
from shared.datasets.sources.conditions import Condition
from shared.datasets.sources.formats import Format
from shared.datasets.sources.json_paths import is_plain, parse_json_path
from shared.datasets.sources.moments import Moment, read_moment
from shared.datasets.sources.pagination import Cursors, From, Links
from shared.datasets.sources.records import RecordPlace

MAX_TOTAL = 10**15


@dataclass(frozen=True, slots=True)
class PageRecords:
    records: Records
    facts: PageFacts


@dataclass(frozen=True, slots=True)
class PageReader:
    """Reads the pages of one unit."""

    source: RequestSource
    columns: ColumnValues
    unit: Mapping[str, Any] = field(default_factory=dict)
    """Its values, as the plan has them."""
    since: Moment | None = None
    limit: int | None = None
    """Records at most; None: all."""
    is_first: bool = True

    def read(self, subject: Subject, body: bytes) -> PageRecords:
        """The records and facts of an answer that is accepted. Raises `BadBodyError`.

        Costs about a millisecond per megabyte, and ten times that where records are looked into.
        """
        body = body.removeprefix(BYTE_ORDER_MARK)
        if self.source.format.kind != "json":
            body = _as_json_lines(self.source.format, body)
        try:
            return self._read(subject, body)
        except BadBodyError:
            raise
        except NOT_READABLE as error:
            raise (
                no_json(body) if first_byte(body) not in b"[{" else BadBodyError(f"not JSON: {error}"[:300])
            ) from error

    def nothing(self, *, is_over: bool) -> PageRecords:
        """Of an answer that a rule calls empty."""
        return PageRecords(Records(b"", 0), PageFacts(is_over=is_over))

    @property
    def _is_plain(self) -> bool:
        """Whether no record has to be looked into, so that the lines are cut out of the page as they are."""
        source = self.source
        following = getattr(source.pagination, "next", None)
        is_by_record = following is not None and (following.last is not None or following.max is not None)
        place = source.records
        looks = place.where or place.explode or is_by_record or self.columns.is_used
        has_field = source.incremental is not None and source.incremental.field is not None
        return not looks and not has_field and self._plain_path is not None

    @property
    def _plain_path(self) -> list[str] | None:
        """The keys that lead to an array of records in JSON; None where it is another form."""
        place = self.source.records
        steps = [parse_json_path(path) for path in place.path]
        if (
            place.shape != "array"
            or self.source.format.kind != "json"
            or len(steps) != 1
            or not is_plain(steps[0])
        ):
            return None
        return [str(step) for step in steps[0]]

    def _read(self, subject: Subject, body: bytes) -> PageRecords:
        if self._is_plain:
            records = split_page(body, self._plain_path or (), self.limit, is_first=self.is_first)
            return PageRecords(records, self._facts(subject, body, [], records.rows, []))
        found, lacking = self._elements(body)
        came = len(found)
        marks = self._marks(found)
        kept = self._kept(found, marks)
        lines = [self.columns.line(record, subject, self.unit, key) for key, record in kept]
        is_cut = self.limit is not None and len(lines) > self.limit
        lines = lines if self.limit is None else lines[: self.limit]
        records = Records(b"\n".join(lines), len(lines), lacking=lacking, is_cut=is_cut)
        return PageRecords(
            records, self._facts(subject, body, found, came, [mark for mark in marks if mark is not None])
        )

    def _elements(self, body: bytes) -> tuple[list[tuple[str, Json]], str]:
        """The records with the keys that they have in a map; and what an answer without any has instead."""
        place = self.source.records
        path = self._plain_path
        if path is not None:
            split = split_page(body, path, is_first=self.is_first)
            found: list[tuple[str, Json]] = (
                [("", line) for line in split.data.split(b"\n")] if split.rows else []
            )
            lacking = split.lacking
        else:
            found = [record for at in place.path for record in _shaped(place, body, at)]
            lacking = "" if found else f"there is nothing at {', '.join(place.path) or 'the top'}"
        if len(found) > MAX_RECORDS:
            raise BadBodyError(f"more than {MAX_RECORDS} records", retryable=False, outcome="too_large")
        if place.explode is not None:
            found = [(key, record) for key, whole in found for record in exploded(whole, place.explode)]
        return found, lacking

    def _marks(self, found: Sequence[tuple[str, Json]]) -> list[Moment | None]:
        options = self.source.incremental
        if options is None or options.field is None:
            return []
        path = options.field
        return [read_moment(_readable(record, path), options.format) for _, record in found]

    def _kept(
        self, found: Sequence[tuple[str, Json]], marks: Sequence[Moment | None]
    ) -> Iterator[tuple[str, Json]]:
        """Those that the file's conditions want, and that are new where the client filters."""
        where = self.source.records.where
        options = self.source.incremental
        is_filtered = options is not None and options.filter == "client" and self.since is not None
        for place, (key, record) in enumerate(found):
            if is_filtered and marks[place] is not None and is_before(marks[place], self.since):
                continue
            if all(holds(condition, Subject(record)) for condition in where):
                yield key, record

    def _facts(
        self,
        subject: Subject,
        body: bytes,
        found: Sequence[tuple[str, Json]],
        came: int,
        marks: Sequence[Moment],
    ) -> PageFacts:
        source, pagination = self.source, self.source.pagination
        following = None
        if isinstance(pagination, Cursors | Links):
            following = _from(pagination.next, subject, body, found, is_url=isinstance(pagination, Links))
        more: Condition | None = getattr(pagination, "more", None)
        options = source.incremental
        token = None
        if options is not None and options.token is not None:
            token = _from(options.token, subject, body, found, is_url=True)
        is_over = (
            options is not None
            and options.order == "descending"
            and bool(marks)
            and self.since is not None
            and is_before(min(marks), self.since)
        )
        return PageFacts(
            rows=came,
            next=following,
            more=None if more is None else holds(more, Subject(body, subject.headers, subject.url)),
            total=self._total(subject, body),
            token=token,
            marks=(min(marks), max(marks)) if marks else (),
            is_over=is_over,
        )

    def _total(self, subject: Subject, body: bytes) -> int | None:
        total = getattr(self.source.pagination, "total", None)
        if total is None:
            return None
        value: Any = (
            subject.header(total.header) if total.header is not None else find_value(body, total.path or "")
        )
        if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
            value = int(value.strip()[:18])
        if not isinstance(value, int) or isinstance(value, bool):
            return None
        return value if 0 <= value <= MAX_TOTAL else None


def is_before(moment: Moment | None, other: Moment | None) -> bool:
    """Of two times, or two numbers. What cannot be compared is not before."""
    if isinstance(moment, int) and isinstance(other, int):
        return moment < other
    return not isinstance(moment, int | None) and not isinstance(other, int | None) and moment < other


def _readable(record: Json, path: str) -> Any:
    try:
        return find_value(record, path)
    except NOT_READABLE:
        return None


def _from(
    place: From, subject: Subject, body: bytes, found: Sequence[tuple[str, Json]], *, is_url: bool
) -> Any:
    value: Any
    if place.path is not None:
        value = find_value(body, place.path)
    elif place.header is not None:
        value = subject.header(place.header)
    elif place.link is not None:
        value = _linked(place.link, subject, is_url=is_url)
    elif place.last is not None:
        value = _readable(found[-1][1], place.last) if found else None
    else:
        values = [
            one
            for _, record in found
            if isinstance(one := _readable(record, place.max or ""), str | int | float)
        ]
        value = max(values, key=lambda one: (isinstance(one, str), one)) if values else None
    return matched(value, place.match)


def _linked(relation: str, subject: Subject, *, is_url: bool) -> str | None:
    if not is_url:
        return link_value(subject.headers, subject.url, relation)
    return urls.linked(relation, subject.headers.get("link", ()), subject.url)


def exploded(record: Json, path: str) -> Iterator[bytes]:
    """One record for each element of the list at the path, which stands where the list was; none for an empty list."""
    keys = [str(step) for step in parse_json_path(path)]
    yield from _exploded(record, keys)


def _exploded(record: Json, keys: list[str]) -> Iterator[bytes]:
    inside = members(record)
    if keys[0] not in inside:
        return
    parts = elements(inside[keys[0]]) if len(keys) == 1 else list(_exploded(inside[keys[0]], keys[1:]))
    for part in parts:
        yield msgspec.json.encode({**inside, keys[0]: msgspec.Raw(part)})


def _shaped(place: RecordPlace, body: Json, path: str) -> Iterator[tuple[str, Json]]:
    """The records at a path, with their keys where they are the values of a map."""
    header = _header(place, body)
    shapes: dict[str, Callable[[Json], Iterable[tuple[str, Json]]]] = {
        "array": lambda value: (("", one) for one in _listed(value, path)),
        "object": lambda value: [("", value)] if first_byte(value) == b"{" else [],
        "map": lambda value: members(value).items(),
        "scalars": lambda value: (("", msgspec.json.encode({"$value": one})) for one in elements(value)),
        "rows": lambda value: (("", row) for row in _rows(elements(value), header)),
        "columns": lambda value: (("", row) for row in _columns(members(value))),
    }
    for value in find_all(body, parse_json_path(path)):
        yield from shapes[place.shape](value)


def _listed(value: Json, path: str) -> list[Any]:
    if first_byte(value) == b"[":
        return elements(value)
    if first_byte(value) == b"{" and ("*" in path or "[" in path):
        return [value]
    if read(value) in (None, "", {}):
        return []
    raise BadBodyError(
        f"an array of records is expected at {path or 'the top'}: write `shape` for another form"
    )


def _header(place: RecordPlace, body: Json) -> list[str] | None:
    if place.header is None:
        return None
    found = find(body, place.header)
    names = [] if found is None else read(found)
    if not isinstance(names, list):
        raise BadBodyError(f"the header at {place.header} is not a list of names")
    return [str(one.get("name", "")) if isinstance(one, dict) else str(one) for one in names]


def _rows(rows: list[msgspec.Raw], header: list[str] | None) -> Iterator[bytes]:
    """Short rows lack their last fields."""
    if header is None:
        if not rows:
            return
        header = [str(read(name)) for name in elements(rows[0])]
        rows = rows[1:]
    for row in rows:
        yield msgspec.json.encode(dict(zip(header, elements(row), strict=False)))


def _columns(columns: Mapping[str, msgspec.Raw]) -> Iterator[bytes]:
    values = {name: elements(column) for name, column in columns.items() if first_byte(column) == b"["}
    for place in range(max(map(len, values.values()), default=0)):
        yield msgspec.json.encode(
            {name: column[place] for name, column in values.items() if place < len(column)}
        )


def _as_json_lines(form: Format, body: bytes) -> bytes:
    """Another format as a JSON array of its records."""
    reader = {"jsonl": _json_lines, "lines": _text_lines, "csv": _csv_lines, "tsv": _csv_lines}[form.kind]
    return b"[" + b",".join(reader(form, body)) + b"]"


def _json_lines(_: Format, body: bytes) -> Iterator[bytes]:
    yield from (line for line in body.split(b"\n") if line.strip())


def _text_lines(form: Format, body: bytes) -> Iterator[bytes]:
    for line in body.decode(form.encoding, "replace").splitlines():
        yield msgspec.json.encode({"$value": line})


def _csv_lines(form: Format, body: bytes) -> Iterator[bytes]:
    """An empty field is null, and a short row lacks its last fields. Every value is a text."""
    text = body.decode(form.encoding, "replace").removeprefix("\ufeff")
    delimiter = "\t" if form.kind == "tsv" else form.delimiter
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quotechar=form.quote)
    try:
        for _ in range(form.skip):
            next(rows, None)
        header = list(form.header) or next(rows, [])
        for row in rows:
            if row:
                fields = zip(header, row, strict=False)
                yield msgspec.json.encode({name: value or None for name, value in fields})
    except csv.Error as error:
        raise BadBodyError(f"not CSV: {error}", retryable=False) from error
