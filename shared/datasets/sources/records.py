"""Where the records of an answer are, and which of them count."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from shared.datasets.faults import FaultError
from shared.datasets.fields import Model
from shared.datasets.sources.conditions import Condition
from shared.datasets.sources.json_paths import PathText, is_plain, parse_json_path
from shared.datasets.sources.templates import as_tuple


class RecordPlace(Model):
    path: Annotated[tuple[PathText, ...], BeforeValidator(as_tuple), Field(min_length=1, max_length=20)] = (
        "",
    )
    """Of several the records are joined."""
    shape: Literal["array", "object", "map", "rows", "columns", "scalars"] = "array"
    header: PathText | None = None
    """Of `rows`: where the names of the columns are; absent: in the first row."""
    explode: PathText | None = None
    """A list of each record: its elements become records, each with the record's other fields."""
    where: Annotated[tuple[Condition, ...], Field(max_length=20)] = ()

    @model_validator(mode="after")
    def parts_fit(self) -> Self:
        if self.header is not None and self.shape != "rows":
            raise FaultError("only records of `shape: rows` have a header", "header")
        if self.explode is not None and not is_plain(parse_json_path(self.explode)):
            raise FaultError("only keys can lead to the list of a record", "explode")
        return self
