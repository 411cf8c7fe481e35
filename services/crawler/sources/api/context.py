"""What planning and crawling a source of written requests have in common."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from services.crawler.adapters.batch_writer import Fetched
from services.crawler.domain.answers import BadBodyError
from services.crawler.domain.fetching import Answer, FetchFailure
from services.crawler.domain.plans import FrozenValues
from services.crawler.domain.records import Records
from services.crawler.domain.requests.columns import ColumnValues
from services.crawler.domain.requests.conditions import Subject
from services.crawler.domain.requests.lookup import NOT_READABLE, find_value
from services.crawler.domain.requests.page_reader import PageReader, PageRecords
from services.crawler.domain.requests.rendering import RenderedRequest, fill_text, render
from services.crawler.domain.requests.steps import PageFacts, Place
from services.crawler.domain.requests.units import Unit, values_of
from services.crawler.http.api_client import ApiClient, ApiRequest, RequestTry
from shared.datasets.model import Dataset
from shared.datasets.sources.api import RequestSource
from shared.datasets.sources.moments import Moment, read_start
from shared.datasets.sources.request import RequestTemplate


class FetchedPage(Fetched):
    """The lines of a page, and what it tells beside them."""

    __slots__ = ("facts",)

    def __init__(self, fetched: Fetched, facts: PageFacts) -> None:
        super().__init__(
            fetched.lines,
            fetched.rows,
            empty=fetched.empty,
            digests=fetched.digests,
            lacking=fetched.lacking,
            is_cut=fetched.is_cut,
        )
        self.facts = facts


@dataclass(frozen=True, slots=True)
class Requests:
    """Makes the requests of a dataset in a run: everything in them follows from its file and the frozen values."""

    source: RequestSource
    """With its address filled in."""
    columns: ColumnValues
    values: Mapping[str, Any]
    """Those that every request has."""
    frozen: FrozenValues
    client: ApiClient
    observe: Callable[[RequestTry], None] = field(default=lambda _: None)

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        frozen: FrozenValues,
        client: ApiClient,
        observe: Callable[[RequestTry], None] = lambda _: None,
    ) -> "Requests":
        """Raises `NoValueError` where the address lacks a parameter."""
        source = dataset.source
        assert isinstance(source, RequestSource)  # noqa: S101 - the caller looks at the form
        values: dict[str, Any] = {f"param.{name}": value for name, value in frozen.params.items()}
        values["now"] = read_start(frozen.now, is_number=False)
        values["columns"] = _column_names(dataset)
        if (size := getattr(source.pagination, "size", None)) is not None:
            values["size"] = size
        filled = fill_text(source.base_url, values, lambda text: quote(text, safe=""))
        resolved = source.model_copy(update={"base_url": filled})
        columns = ColumnValues.of(dataset.read_columns, frozen.params)
        return cls(resolved, columns, values, frozen, client, observe)

    @property
    def since(self) -> Moment | None:
        options = self.source.incremental
        if options is None or self.frozen.since is None:
            return None
        return read_start(self.frozen.since, is_number=options.is_number)

    def render(self, unit: Unit, place: Place, secrets: Mapping[str, str]) -> RenderedRequest:
        """Raises `NoValueError`."""
        options = self.source.incremental
        values = {**self.values, **values_of(unit, is_number=options is not None and options.is_number)}
        values |= {name: place[name] for name in ("page", "offset", "cursor") if name in place}
        return render(self.source, self.source.request, values, secrets, next_url=place.get("url"))

    def shown(self, unit: Unit, place: Place) -> str:
        """The URL of a request without its secrets; for messages."""
        try:
            return self.render(unit, place, dict.fromkeys(self.source.secrets, "***")).shown_url
        except ValueError:
            return self.source.base_url

    async def ask_number(
        self, template: RequestTemplate, path: str, folder: Path
    ) -> Answer[int] | FetchFailure:
        """Of a request beside those for records. Raises `LongWaitError`."""
        made = partial(render, self.source, template, self.values)
        request = ApiRequest(self.source, self._own_values, made, NumberReading(path), self.observe)
        return await self.client.ask(request, folder)

    @property
    def _own_values(self) -> dict[str, Any]:
        """Those that credentials may hold."""
        return {
            name: value for name, value in self.values.items() if name.startswith("param.") or name == "now"
        }

    async def ask(
        self, unit: Unit, place: Place, folder: Path, *, limit: int | None = None, is_first: bool = True
    ) -> Answer[PageRecords] | FetchFailure:
        """One page. Raises `LongWaitError`."""
        reader = PageReader(self.source, self.columns, unit, self.since, limit, is_first)
        request = ApiRequest(
            self.source, self._own_values, partial(self.render, unit, place), reader, self.observe
        )
        return await self.client.ask(request, folder)


@dataclass(frozen=True, slots=True)
class NumberReading:
    """Of an answer that is asked for one whole number."""

    path: str

    def read(self, subject: Subject, body: bytes) -> int:
        """Raises `BadBodyError` where there is none."""
        del subject
        try:
            value = find_value(body, self.path)
        except NOT_READABLE as error:
            raise BadBodyError(f"not JSON: {error}"[:300]) from error
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value[:18])
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadBodyError(f"a whole number is expected at {self.path or 'the top'}", retryable=False)
        return value

    def nothing(self, *, is_over: bool) -> int:
        """Raises `BadBodyError`."""
        del is_over
        raise BadBodyError("a whole number is expected, and the answer is empty by a rule", retryable=False)


def spooled(answer: Answer[PageRecords], spool: Callable[[Records], Fetched]) -> Answer[Fetched]:
    """The same answer, its lines waiting for their turn."""
    page = FetchedPage(spool(answer.value.records), answer.value.facts)
    return cast("Answer[Fetched]", replace(cast("Answer[Any]", answer), value=page))


def _column_names(dataset: Dataset) -> list[str]:
    """The last key of each column's place, once, without what is not of the record."""
    names: Sequence[str] = [
        column.path[-1] for column in dataset.read_columns if not column.path[0].startswith("$")
    ]
    return list(dict.fromkeys(names))


def dump_mark(value: str | int | None, token: Any) -> str | None:
    if value is None and token is None:
        return None
    return json.dumps({"value": value, "token": token}, separators=(",", ":"))
