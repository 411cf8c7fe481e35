"""What the fields of a dataset file have in common."""

from typing import Annotated, Any, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from shared.datasets.faults import FaultError
from shared.events.ids import DATASET_PATTERN

MAX_TEXT_CHARS = 2000


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def kind_name(model: type[BaseModel]) -> str:
    """What a dataset file writes as the `kind` of this model."""
    [kind] = get_args(model.model_fields["kind"].annotation)
    return str(kind)


def _http_url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise FaultError(f"{value!r} must start with http:// or https://")
    try:
        parts = urlsplit(value)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or " " in value:
        raise FaultError(f"{value!r} is not an address: one such as https://api.example.org/v1 is expected")
    return value.rstrip("/")


def _absolute_path(value: str) -> str:
    if not value.startswith("/"):
        raise FaultError(f"{value!r} must start with /")
    return value


def _printable(value: str) -> str:
    if not value.isprintable():
        raise FaultError("it holds a character that cannot be printed")
    return value


def not_a_boolean(value: Any) -> Any:
    """Raises `PydanticCustomError` for true and false, which Python takes for numbers."""
    if isinstance(value, bool):
        raise PydanticCustomError("not_a_number", "true and false are not numbers")
    return value


Word = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_CHARS), AfterValidator(_printable)]
HttpUrl = Annotated[Word, AfterValidator(_http_url)]
UrlPath = Annotated[Word, AfterValidator(_absolute_path)]
Whole = Annotated[int, BeforeValidator(not_a_boolean)]
Number = Annotated[float, BeforeValidator(not_a_boolean)]
RowCount = Annotated[Whole, Field(ge=0, le=2**63 - 1)]
ClientErrorStatus = Annotated[Whole, Field(ge=400, le=499)]

Name = Annotated[str, StringConstraints(pattern=f"^{DATASET_PATTERN}$")]
"""Also bounds identifiers to PostgreSQL's 63 bytes, so that no name is cut in silence."""
