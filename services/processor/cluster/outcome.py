"""What a worker answers, as JSON: errors are values here, as an exception would lose what its class knows on the way."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from services.processor.engine import Cleaned
from services.processor.work import Processed
from shared.errors import PermanentError, TransientError
from shared.events.models import Artifact
from shared.reasons import Reason


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Done(_Answer):
    kind: Literal["done"] = "done"
    artifacts: tuple[Artifact, ...]
    cleaned: Cleaned


class Refused(_Answer):
    """A `PermanentError` of the batch."""

    kind: Literal["refused"] = "refused"
    reason: Reason
    text: str


class Outage(_Answer):
    """A `TransientError`: the worker's object store, or its disk."""

    kind: Literal["outage"] = "outage"
    text: str


class OtherVersions(_Answer):
    """The worker did nothing: its code has changed since it joined the cluster."""

    kind: Literal["other_versions"] = "other_versions"
    versions: dict[str, str]


Answer = Done | Refused | Outage | OtherVersions

_ANSWERS: TypeAdapter[Answer] = TypeAdapter(Annotated[Answer, Field(discriminator="kind")])


def encode_answer(answer: Answer) -> bytes:
    return answer.model_dump_json().encode("utf-8", "replace")


def decode_answer(value: bytes) -> Answer:
    return _ANSWERS.validate_json(value)


def processed_of(answer: Done | Refused | Outage) -> Processed:
    """Raises what the worker's own call raised."""
    if isinstance(answer, Refused):
        raise PermanentError(answer.reason, answer.text)
    if isinstance(answer, Outage):
        raise TransientError(answer.text)
    return Processed(answer.artifacts, answer.cleaned)
