"""How an answer is written."""

import codecs
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from shared.datasets.faults import FaultError
from shared.datasets.fields import Model, Whole, Word


class Format(Model):
    """The options after `kind` are those of CSV."""

    kind: Literal["json", "jsonl", "csv", "tsv", "lines"]
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    quote: Annotated[str, Field(min_length=1, max_length=1)] = '"'
    encoding: Annotated[Word, Field(max_length=40)] = "utf-8"
    """Of CSV and lines, as Python names it."""
    header: Annotated[tuple[Word, ...], Field(max_length=1500)] = ()
    """The names of the columns where the first line has none."""
    skip: Annotated[Whole, Field(ge=0, le=10_000)] = 0
    """Lines before the header."""

    @field_validator("encoding")
    @classmethod
    def encoding_is_known(cls, value: str) -> str:
        try:
            codecs.lookup(value)
        except LookupError as error:
            raise FaultError(
                f"{value!r} is no encoding: write one such as utf-8, latin-1 or cp1252"
            ) from error
        return value


def _named(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


FormatOption = Annotated[Format, BeforeValidator(_named)]
