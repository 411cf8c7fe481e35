"""Which records are new since the last complete run."""

from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from shared.datasets.faults import FaultError
from shared.datasets.fields import Model
from shared.datasets.sources.durations import Duration
from shared.datasets.sources.json_paths import PathText
from shared.datasets.sources.moments import read_start
from shared.datasets.sources.pagination import From
from shared.datasets.sources.templates import as_tuple

NUMBERS = frozenset({"integer"})


def _start(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime | date) else value


class Incremental(Model):
    field: PathText | None = None
    """Of a record: when it was changed, or a number that grows."""
    format: Annotated[tuple[str, ...], BeforeValidator(as_tuple), Field(min_length=1, max_length=8)] = (
        "rfc3339",
    )
    """How the field is written: rfc3339, date, unix, unix_ms, integer, or a pattern such as %Y-%m-%d."""
    start: Annotated[str | int | None, BeforeValidator(_start)] = None
    """Where the first run begins; absent: with the oldest."""
    oldest: Duration | None = None
    """How far back the source keeps records."""
    settle: Duration | None = None
    """Records that are younger are left to the next run."""
    lookback: Duration | None = None
    """How far before the mark a run begins."""
    window: Duration | None = None
    """The length of time that one chain of requests asks for."""
    step: Duration | None = None
    """Subtracted from the end, for sources that include both ends."""
    order: Literal["none", "ascending", "descending"] = "none"
    filter: Literal["source", "client"] = "source"
    """Who leaves old records out."""
    token: From | None = None
    """An opaque state in the last answer, with which the next run begins."""

    @model_validator(mode="after")
    def parts_fit(self) -> Self:
        if self.window is not None and self.start is None and self.oldest is None:
            raise FaultError("`start` is missing: windows are counted from it")
        if self.is_number and (self.window or self.settle or self.oldest or self.lookback or self.step):
            raise FaultError(
                "a field of format integer has no window, settle, oldest, lookback and step", "format"
            )
        if self.filter == "client" and self.field is None:
            raise FaultError("`field` is missing: the client filters by it")
        if self.order == "descending" and self.field is None:
            raise FaultError("`field` is missing: a descending order is one of it")
        if self.token is not None and (self.token.last or self.token.max):
            raise FaultError("a token stands at a `path`, a `header` or a `link`", "token")
        if self.start is not None:
            read_start(self.start, is_number=self.is_number)
        return self

    @property
    def is_number(self) -> bool:
        return bool(NUMBERS & set(self.format))
