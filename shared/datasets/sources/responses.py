"""What becomes of an answer: the first rule that fits counts, before the defaults."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from shared.datasets.faults import FaultError
from shared.datasets.fields import Model, Whole, Word
from shared.datasets.sources.conditions import Condition
from shared.datasets.sources.durations import Duration
from shared.datasets.sources.json_paths import PathText
from shared.datasets.sources.templates import as_tuple

StatusCode = Annotated[Whole, Field(ge=100, le=599)]
StatusClass = Literal["2xx", "3xx", "4xx", "5xx"]
Status = StatusCode | StatusClass

Action = Literal["accept", "empty", "stop", "retry", "wait", "fail", "reauthenticate"]


class Wait(Model):
    header: Word | None = None
    path: PathText | None = None
    form: Annotated[Literal["seconds", "unix", "unix_ms", "date", "per_second"], Field(alias="as")] = (
        "seconds"
    )
    duration: Annotated[Duration | None, Field(alias="for")] = None
    until: Literal["next_minute", "next_hour", "midnight_utc"] | None = None

    @model_validator(mode="after")
    def says_how_long(self) -> Self:
        told = (self.header, self.path, self.duration, self.until)
        if sum(part is not None for part in told) != 1:
            raise FaultError("write exactly one of `header`, `path`, `for` and `until`: how long to wait")
        return self


class ResponseRule(Model):
    status: Annotated[tuple[Status, ...], BeforeValidator(as_tuple), Field(min_length=1, max_length=40)] = ()
    when: Condition | None = None
    action: Action
    wait: Wait | None = None
    """How long a try waits; absent: as the answer asks for, else a growing pause."""
    tries: Annotated[Whole, Field(ge=1, le=20)] | None = None
    """Tries in all, the first included."""
    after: Literal["fail", "empty", "stop"] = "fail"
    """What it comes to when the tries are used up."""

    @model_validator(mode="after")
    def parts_fit(self) -> Self:
        if not self.status and self.when is None:
            raise FaultError("write `status`, `when` or both: which answers the rule is for")
        if self.wait is not None and self.action not in {"wait", "retry"}:
            raise FaultError("only `action: wait` and `action: retry` wait", "wait")
        if self.tries is not None and self.action not in {"wait", "retry"}:
            raise FaultError("only `action: wait` and `action: retry` have tries", "tries")
        return self
