"""The steps of `transform:` in a dataset file. Pure: nothing here runs one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, StringConstraints, model_validator

from shared.datasets.faults import FaultError
from shared.datasets.fields import Model, Name

POSITION: Final = "_source_position"
"""The column that says which line a row comes from: it goes through every step."""

BATCH: Final = "batch"
"""The table that a statement reads."""

MAX_SQL_CHARS = 100_000
MAX_CODE_CHARS = 256 * 1024
MAX_STEPS = 20

Frame = Literal["polars", "arrow", "pandas"]

KINDS: Final = ("sql", "python", "mask", "explode")
"""Each step has one of them."""

_TRUNCATE = re.compile(r"truncate\(([1-9][0-9]{0,3})\)")


@dataclass(frozen=True, slots=True)
class Mask:
    """What becomes of one column's values."""

    column: str
    how: Literal["hash", "truncate", "null"]
    chars: int = 0
    """Of `truncate`: how many characters stay."""

    @property
    def written(self) -> str | None:
        """As a dataset file has it."""
        if self.how == "truncate":
            return f"truncate({self.chars})"
        return None if self.how == "null" else self.how


def _read_masks(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    if not value:
        raise FaultError("it is empty: write `mask: {email: hash}`")
    return tuple(_read_mask(str(column), how) for column, how in value.items())


def _read_mask(column: str, how: Any) -> Mask:
    if how is None:
        return Mask(column=column, how="null")
    if how == "hash":
        return Mask(column=column, how="hash")
    if isinstance(how, str) and (found := _TRUNCATE.fullmatch(how)) is not None:
        return Mask(column=column, how="truncate", chars=int(found[1]))
    shown = str(how)[:60]
    raise FaultError(f"{column}: {shown} is none of hash, truncate(4) and null", column)


def _write_masks(masks: tuple[Mask, ...] | None) -> dict[str, str | None] | None:
    return None if masks is None else {mask.column: mask.written for mask in masks}


Masks = Annotated[tuple[Mask, ...], BeforeValidator(_read_masks), PlainSerializer(_write_masks)]


@dataclass(frozen=True, slots=True)
class Code:
    """The module of a Python step as it was when its dataset file was read."""

    sha256: str
    text: str | None = None
    """None: the module is of an installed package, which must have this hash when it runs."""


class Step(Model):
    """One of `KINDS`, applied to all rows of a batch."""

    sql: Annotated[str, StringConstraints(min_length=1, max_length=MAX_SQL_CHARS)] | None = None
    """One SELECT statement on the table `batch`."""
    python: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    """`package.module:function`."""
    frame: Frame | None = None
    """What the function takes and returns."""
    mask: Masks | None = None
    explode: Name | None = None
    """A column of lists: its row becomes one row for each of its values."""
    code: Code | None = None
    """Set by the pipeline: a run's batches are all transformed by the same code."""

    @property
    def kind(self) -> Literal["sql", "python", "mask", "explode"]:
        return next(name for name in KINDS if getattr(self, name) is not None)

    @model_validator(mode="after")
    def is_of_one_kind(self) -> Self:
        found = [name for name in KINDS if getattr(self, name) is not None]
        if len(found) != 1:
            what = " and ".join(found) or "none of them"
            raise FaultError(f"a step has one of {', '.join(KINDS)}, this one has {what}")
        return self

    @model_validator(mode="after")
    def a_function_has_a_frame(self) -> Self:
        if self.python is not None and not _FUNCTION.fullmatch(self.python):
            raise FaultError(
                f"{self.python[:60]} is no function: one such as cleaning.orders:add_total is expected",
                "python",
            )
        if self.python is not None and self.frame is None:
            raise FaultError("`frame` is missing: write `frame: polars`, arrow or pandas", "python")
        if self.python is None and self.frame is not None:
            raise FaultError("only a step with python has a frame", "frame")
        return self


_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)

Steps = Annotated[tuple[Step, ...], Field(max_length=MAX_STEPS)]
