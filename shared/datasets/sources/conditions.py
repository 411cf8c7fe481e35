"""A condition on an answer or on a record."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from shared.datasets.faults import FaultError
from shared.datasets.fields import Model, Word
from shared.datasets.sources.json_paths import PathText
from shared.datasets.sources.templates import as_json

Value = Annotated[Any, AfterValidator(as_json)]
Values = Annotated[tuple[Value, ...], Field(max_length=1000)]

TESTS = ("equals", "not_", "in_", "not_in", "like", "contains", "exists", "empty", "at_least", "below")


class Condition(Model):
    """A place and one test or several; or `any` or `all` of others."""

    path: PathText | None = None
    header: Word | None = None
    link: Word | None = None
    """A parameter of the URL that `Link: rel=next` names."""
    text: bool = False
    """The whole body as a text."""
    equals: Value = None
    not_: Annotated[Value, Field(alias="not")] = None
    in_: Annotated[Values | None, Field(alias="in")] = None
    not_in: Values | None = None
    like: Word | None = None
    """A pattern in which `*` is any text."""
    contains: Word | None = None
    exists: bool | None = None
    empty: bool | None = None
    at_least: Value = None
    below: Value = None
    any: "Annotated[tuple[Condition, ...], Field(min_length=1, max_length=20)] | None" = None
    all: "Annotated[tuple[Condition, ...], Field(min_length=1, max_length=20)] | None" = None

    @model_validator(mode="after")
    def says_something(self) -> Self:
        places = sum((self.path is not None, self.header is not None, self.link is not None, self.text))
        if self.any is not None or self.all is not None:
            if places or (self.any is not None and self.all is not None):
                raise FaultError("`any` or `all` stands alone: put the place into its conditions")
            return self
        if places != 1:
            raise FaultError("write one of `path`, `header`, `link` and `text`: what the condition looks at")
        if not set(TESTS) & self.model_fields_set:
            raise FaultError(
                "there is no test: write one such as `equals: false`, `exists: true` or `in: [a, b]`"
            )
        return self
