"""How the answers of a source are asked for: for each kind of pagination the options that a dataset file gives it.

A kind is a class here and its name in `Pagination`; the crawler has a module for it in `services/crawler/sources`.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal, Self, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from shared.datasets.faults import FaultError
from shared.datasets.fields import ClientErrorStatus, Model, UrlPath, Whole, Word, kind_name, not_a_boolean


class PaginationOptions(Model):
    """The options of one kind. `Field(examples=…)` gives what a message about the field shows, as YAML."""

    needs_path: ClassVar[bool] = True
    """Whether the source's `path` is requested."""

    kind: str
    """The name of the kind in a dataset file."""


class PagePagination(PaginationOptions):
    """Pages by number, or by the links that pages give."""

    kind: Literal["page"]
    page_param: Annotated[Word, Field(examples=["page"])]
    size_param: Annotated[Word, Field(examples=["per_page"])]
    size: Annotated[Whole, Field(ge=1, le=100_000)] = 100
    total_header: Word | None = None
    """Response header that tells the number of records. Absent: pages are followed to an empty one."""
    first: Annotated[Literal[0, 1] | None, BeforeValidator(not_a_boolean)] = None
    """Number of the first page. Absent: the source shows it."""
    repeats: Literal["fault", "end"] = "fault"
    """What a page that brings the records of an earlier page again is: a fault of the source, or the end of its pages."""
    no_array: Literal["fault", "end"] = "fault"
    """What a page without an array of records is where records are behind it: a fault of the source, or the end of its
    pages, which is then believed unseen."""
    end_statuses: Annotated[tuple[ClientErrorStatus, ...], Field(max_length=8, examples=["[404]"])] = ()
    """4xx statuses that mean "there is no such page": the end of the pages, not a failure."""

    @model_validator(mode="after")
    def parameters_differ(self) -> Self:
        if self.page_param == self.size_param:
            raise FaultError(f"{self.size_param} is the name of page_param as well", "size_param")
        return self


class IdListPagination(PaginationOptions):
    """One request lists the ids, then one request per item."""

    needs_path: ClassVar[bool] = False

    kind: Literal["ids"]
    list_path: Annotated[UrlPath, Field(examples=["/ids.json"])]
    item_path: Annotated[UrlPath, Field(examples=['"/items/{id}.json"'])]
    """Holds `{id}`."""

    @field_validator("item_path")
    @classmethod
    def item_path_names_the_id(cls, value: str) -> str:
        if value.count("{id}") != 1:
            raise FaultError(f"{value!r} must hold {{id}} exactly once, as in /items/{{id}}.json")
        return value


class NoPagination(PaginationOptions):
    """One request answers everything."""

    kind: Literal["none"]


Pagination = Annotated[PagePagination | IdListPagination | NoPagination, Field(discriminator="kind")]


PAGINATION_KINDS: Final[Mapping[str, type[PaginationOptions]]] = {
    kind_name(options): options for options in get_args(get_args(Pagination)[0])
}
"""The options of each kind by its name in a dataset file."""
