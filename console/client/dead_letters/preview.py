from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.events.models import Artifact


@dataclass(frozen=True, slots=True)
class Preview:
    """The first rows of an artifact behind a dead record."""

    artifact: "Artifact"
    rows: tuple[Any, ...] = ()
    problem: str | None = None
    """Why there are no rows to show."""
