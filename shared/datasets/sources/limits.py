"""How much a source is asked for, and the values that a file leaves open."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from shared.datasets.faults import FaultError
from shared.datasets.fields import Model, Number, Whole, Word
from shared.datasets.sources.durations import Duration
from shared.datasets.sources.secret_names import check_variable
from shared.datasets.sources.templates import as_json


class Budget(Model):
    """Requests within any time of this length, per process."""

    requests: Annotated[Whole, Field(ge=1, le=1_000_000)]
    per: Duration


class Limits(Model):
    requests_per_second: Annotated[Number, Field(ge=0, le=10_000)] = 10
    """0: no limit."""
    concurrency: Annotated[Whole, Field(ge=1, le=100)] = 5
    budgets: Annotated[tuple[Budget, ...], Field(max_length=8)] = ()
    remaining: Word | None = None
    """Header with the number of requests that are left."""
    reset: Word | None = None
    """Header with the time when there are more: seconds from now, or a Unix time."""

    @model_validator(mode="after")
    def reset_belongs_to_remaining(self) -> Self:
        if (self.remaining is None) != (self.reset is None):
            raise FaultError("`remaining` and `reset` belong together: write both headers")
        return self


class Param(Model):
    """A value that the environment or a request of a run may give."""

    default: Annotated[Any, AfterValidator(as_json)] = None
    env: (
        Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]{0,127}$"), AfterValidator(check_variable)]
        | None
    ) = None
    type: Literal["string", "int64", "boolean", "date", "timestamp", "list"] = "string"
    required: bool = False
