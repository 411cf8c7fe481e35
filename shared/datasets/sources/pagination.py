"""How the pages of an answer follow each other."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from shared.datasets.faults import FaultError
from shared.datasets.fields import Model, Whole, Word
from shared.datasets.sources.conditions import Condition
from shared.datasets.sources.json_paths import PathText

SIZED = frozenset({"page", "offset", "cursor", "link"})
"""Kinds whose pages have a `size`."""

Size = Annotated[Whole, Field(ge=1, le=100_000)]


class From(Model):
    """Where a value of an answer is."""

    path: PathText | None = None
    header: Word | None = None
    link: Word | None = None
    """A relation of the `Link` header; of a cursor, a parameter of the URL of `rel=next`."""
    last: PathText | None = None
    """A field of the last record."""
    max: PathText | None = None
    """The largest value of a field of the records."""
    match: Annotated[Word, Field(max_length=200)] | None = None
    """A regular expression whose first group is the value."""

    @field_validator("match")
    @classmethod
    def match_has_a_group(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                groups = re.compile(value).groups
            except re.error as error:
                raise FaultError(f"{value!r} is not a regular expression: {error}") from error
            if groups < 1:
                raise FaultError(f"{value!r} has no group: put what is wanted in parentheses")
        return value

    @model_validator(mode="after")
    def has_one_place(self) -> Self:
        places = (self.path, self.header, self.link, self.last, self.max)
        if sum(place is not None for place in places) != 1:
            raise FaultError("write exactly one of `path`, `header`, `link`, `last` and `max`")
        return self


class Total(Model):
    path: PathText | None = None
    header: Word | None = None
    of: Literal["records", "pages"] = "records"

    @model_validator(mode="after")
    def has_one_place(self) -> Self:
        if (self.path is None) == (self.header is None):
            raise FaultError("write `path` or `header`: where the number is")
        return self


class Cap(Model):
    """The most that a source shows of one request's records."""

    @model_validator(mode="before")
    @classmethod
    def names_what_is_not_built(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("action") == "split":
            raise PydanticCustomError(
                "not_built",
                "`action: split` is not supported in this version: make `incremental.window` so short that each fits",
            )
        return value

    records: Annotated[Whole, Field(ge=1)]
    action: Literal["go_on", "fail"] = "fail"


class _Paged(Model):
    more: Condition | None = None
    """Whether a next page is there."""
    total: Total | None = None
    cap: Cap | None = None
    repeats: Literal["fault", "end"] = "fault"
    """What a page that comes again is."""


class NoPages(Model):
    kind: Literal["none"] = "none"


class PageNumbers(_Paged):
    kind: Literal["page"]
    first: Annotated[Whole, Field(ge=0)] = 1
    size: Size | None = None


class Offsets(_Paged):
    kind: Literal["offset"]
    first: Annotated[Whole, Field(ge=0)] = 0
    size: Size | None = None


class Cursors(_Paged):
    kind: Literal["cursor"]
    next: From
    size: Size | None = None
    resend: Literal["all", "none"] | tuple[Word, ...] = "all"
    """The entries of query and body that later pages send, besides those with `{cursor}`."""


class Links(_Paged):
    kind: Literal["link"]
    next: From = From(link="next")
    size: Size | None = None


Pages = Annotated[NoPages | PageNumbers | Offsets | Cursors | Links, Field(discriminator="kind")]
