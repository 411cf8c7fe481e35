"""What the ledger stores of the events, and which batch a bare id names."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from shared.events import ids
from shared.events.models import MAX_TEXT_CHARS, BatchManifest
from shared.events.topology import Stage
from shared.reasons import Reason


@dataclass(frozen=True, slots=True)
class Request:
    """A run as it is requested. The crawler decides whether it is accepted."""

    run_id: str
    requested_at: datetime
    requested_by: str | None
    datasets: tuple[str, ...]

    @classmethod
    def of(cls, document: Mapping[str, Any], derived_id: str, requested_at: datetime) -> "Request":
        """What can be read of it. `derived_id` names the run where the document has no id that could be used."""
        run_id, by, names = (document.get(name) for name in ("run_id", "requested_by", "datasets"))
        return cls(
            run_id=run_id if isinstance(run_id, str) and ids.is_run_id(run_id) else derived_id,
            requested_at=requested_at,
            requested_by=printable(by) if isinstance(by, str) and len(by) <= MAX_TEXT_CHARS else None,
            datasets=_names(names) if isinstance(names, list) else (),
        )


def _names(values: list[Any]) -> tuple[str, ...]:
    names = (value for value in values if isinstance(value, str) and ids.is_dataset_name(value))
    return tuple(dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class BatchRef:
    """Where a batch belongs."""

    run_id: str
    dataset: str
    sequence: int
    requested_at: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """The batches of a dataset of a run: their ids follow from it."""

    run_id: str
    dataset: str
    batches: int
    requested_at: datetime

    def batch_ids(self) -> Iterator[str]:
        return (ids.batch_id(self.run_id, self.dataset, sequence) for sequence in range(self.batches))

    def batch_ref(self, sequence: int) -> BatchRef:
        return BatchRef(self.run_id, self.dataset, sequence, self.requested_at)


@dataclass(frozen=True, slots=True)
class Failure:
    """A result that names its batch by the id alone.

    `unread` False: the stage could not read its input, so the batch is dead there. True: the stage published its
    result, and the ledger could not decode that.
    """

    batch_id: str
    stage: Stage
    unread: bool
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a result in the ledger, and whether its run may have reached a milestone by it."""

    inserted: bool
    is_redriven: bool
    """It is done, and replaced the batch's dead result."""
    may_be_sealed: bool
    may_be_drained: bool
    is_late: bool = False
    """The run was drained before."""


@dataclass(frozen=True, slots=True)
class Milestone:
    """A run is sealed (every batch is processed or dead) or drained (every batch is at its end)."""

    kind: Literal["sealed", "drained"]
    run_id: str
    requested_at: datetime
    batches: Mapping[str, int]
    """Processed batches per dataset."""


def find_batches(plans: list[Plan], wanted: frozenset[str]) -> dict[str, BatchRef]:
    """The places of those wanted ids that belong to a plan. One SHA-256 per planned batch, up to the last found."""
    found: dict[str, BatchRef] = {}
    for plan in plans:
        for sequence, batch_id in enumerate(plan.batch_ids()):
            if batch_id in wanted:
                found[batch_id] = plan.batch_ref(sequence)
                if len(found) == len(wanted):
                    return found
    return found


def rows_forwarded(manifest: BatchManifest) -> int:
    """Rows of a batch that a stage is done with, as progress shows them."""
    if manifest.status == "dead":
        return 0
    return manifest.counts.accepted if manifest.stage == "processor" else manifest.counts.read


def printable(text: str) -> str:
    """The text without NUL, which PostgreSQL's text cannot contain: a foreign text must not fail a run's result."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
