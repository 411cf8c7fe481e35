"""Dead letters and actions for tests."""

from datetime import UTC, datetime
from typing import Any, Literal

from console.client.dead_letters.queue import Action
from console.client.dead_letters.record import DeadLetter, Original, Position

DIED = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)


def dead_letter(
    offset: int, original: int | None = None, *, partition: int = 0, **changes: Any
) -> DeadLetter:
    """One of the loader; `original` is the offset of the record that died, by default the dead letter's own."""
    values: dict[str, Any] = {
        "position": Position("loader", partition, offset),
        "appended_ms": 1_795_000_000_000 + offset,
        "original": Original("batch.processed", 0, offset if original is None else original, 1),
        "stage": "loader",
        "reason": "object_missing",
        "exception": "ObjectMissingError",
        "message": "it is not there",
        "tries": 1,
        "first_failed_at": DIED,
        "failed_at": DIED,
        "run_id": "r1",
        "batch_id": f"b{offset if original is None else original}",
        "size": 700,
    }
    return DeadLetter(**(values | changes))


def action(
    of: DeadLetter, kind: Literal["replay", "discard"] = "replay", reason: str | None = None
) -> Action:
    return Action(of.position, of.identity, kind, DIED, "me", reason, DIED)
