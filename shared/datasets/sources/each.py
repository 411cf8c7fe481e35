"""What a request is made for: values, a range of numbers, or the rows of another dataset."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from shared.datasets.faults import FaultError
from shared.datasets.fields import Model, Name, Whole
from shared.datasets.sources.conditions import Condition, Value
from shared.datasets.sources.json_paths import PathText
from shared.datasets.sources.request import RequestTemplate
from shared.datasets.sources.templates import Placeholder, TextTemplate, parse_text

MAX_VALUES = 10_000

PARENT, RANGE, VALUES = "form:parent", "form:range", "form:values"
"""The three forms, in the path of an error."""


class EachValue(Model):
    name: Name
    values: Annotated[tuple[Value, ...], Field(min_length=1, max_length=MAX_VALUES)] | TextTemplate
    """A list, or a parameter that is one: `{param.repositories}`."""

    @model_validator(mode="after")
    def values_are_a_list(self) -> Self:
        if isinstance(self.values, str):
            parts = parse_text(self.values)
            if len(parts) != 1 or not isinstance(parts[0], Placeholder) or parts[0].root != "param":
                raise FaultError('write a list, or a parameter alone, as in "{param.repositories}"', "values")
        return self


class EachNumber(Model):
    name: Name
    first: Whole
    last: Whole | None = None
    last_from: RequestTemplate | None = None
    """A request whose answer tells the last number, when the run is planned."""
    last_path: PathText = ""
    """Where in that answer."""
    step: Annotated[Whole, Field(ge=1)] = 1

    @model_validator(mode="after")
    def range_holds_something(self) -> Self:
        if (self.last is None) == (self.last_from is None):
            raise FaultError("write `last` or `last_from`: where the numbers end")
        if self.last is not None and self.last < self.first:
            raise FaultError(f"first is {self.first} and last is {self.last}: no number is between", "last")
        return self


class EachParent(Model):
    parent: Name
    """A dataset, which is crawled before this one in the same run."""
    fields: Annotated[dict[Name, PathText], Field(min_length=1, max_length=20)]
    """Of a record of the parent: `{parent.<name>}` in the request."""
    where: Annotated[tuple[Condition, ...], Field(max_length=20)] = ()
    of: Literal["run"] = "run"


def _form(value: Any) -> str:
    """By the fields that only one of the three has."""
    known = value if isinstance(value, dict) else vars(value) if isinstance(value, Model) else {}
    return PARENT if "parent" in known else RANGE if "first" in known else VALUES


Each = Annotated[
    Annotated[EachParent, Tag(PARENT)]
    | Annotated[EachNumber, Tag(RANGE)]
    | Annotated[EachValue, Tag(VALUES)],
    Discriminator(_form),
]
