"""Results and outcomes of batches that a stage cannot handle."""

from datetime import UTC, datetime
from typing import Self

from pydantic import ValidationError

from shared.bus.messages import FailureOutcome, Outgoing, Record
from shared.errors import PermanentError
from shared.events import topics
from shared.events.models import BatchManifest, BatchUnreadable
from shared.events.topology import Stage
from shared.reasons import Reason
from shared.stages.messages import result_event
from shared.version import CODE_VERSION

MAX_DETAIL_CHARS = 1000


class BatchDeadError(PermanentError):
    """The batch was committed dead before: its record is dead-lettered again."""

    @classmethod
    def of(cls, result: BatchManifest) -> Self:
        """`result` is the dead manifest that was committed."""
        return cls(*_reason_and_text(result))


class BatchFailedError(PermanentError):
    """The batch is dead because of its data; `result` is the dead manifest to commit."""

    def __init__(self, result: BatchManifest) -> None:
        super().__init__(*_reason_and_text(result))
        self.result = result


def _reason_and_text(result: BatchManifest) -> tuple[Reason, str]:
    return result.reason or Reason.HANDLER, result.detail or "the batch is dead"


def dead_manifest(parent: BatchManifest, stage: Stage, error: PermanentError) -> BatchManifest:
    """The result of a stage that could not handle its parent's batch. No row of it got further.

    The processor answers for every crawled line, the stages after it for the rows that it let through.
    """
    read = parent.counts.read if stage == "processor" else parent.counts.accepted
    return parent.child(
        stage,
        status="dead",
        reason=error.reason,
        detail=error_text(error),
        counts=parent.counts.model_copy(
            update={"read": read, "accepted": 0, "rejected": 0, "deduplicated": 0, "filtered": 0, "added": 0}
        ),
        produced_at=datetime.now(UTC),
        code_version=CODE_VERSION,
    )


def undecodable_record(record: Record, error: PermanentError, stage: Stage) -> FailureOutcome:
    """The failure of an undecodable record: quality finds its batch by the record's key."""
    try:
        failed = BatchUnreadable(
            batch_id=record.key_text or "", stage=stage, reason=error.reason, detail=error_text(error)
        )
    except ValidationError:
        return FailureOutcome(dead=True)  # no key, or a foreign one: only the dead letter can be written
    return FailureOutcome(dead=True, events=(Outgoing(topics.BATCH_FAILED, failed.batch_id, failed),))


def outcome_of(winner: BatchManifest) -> FailureOutcome:
    return FailureOutcome(dead=winner.status == "dead", events=(result_event(winner),))


def error_text(error: PermanentError) -> str:
    """The error's text as JSON and PostgreSQL can store it: no lone surrogate, no NUL."""
    return str(error)[:MAX_DETAIL_CHARS].encode("utf-8", "replace").decode().replace("\x00", "\ufffd")
