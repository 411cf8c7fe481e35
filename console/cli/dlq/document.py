"""Dead letters as JSON for programs. Pure."""

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from console.client.dead_letters.preview import Preview
from console.client.dead_letters.queue import Entry
from console.client.dead_letters.replay import Outcome
from shared.bus.messages import Record
from shared.events.times import utc_text


def entry(found: Entry) -> dict[str, Any]:
    """A dead letter as `onpoint dlq list --json` shows it. Times are UTC, `bytes` is the size of its record."""
    dead_letter, action = found.dead_letter, found.last_action
    return {
        "entry": str(dead_letter.position),
        "state": found.state,
        **asdict(dead_letter.position),
        "stage": dead_letter.stage,
        "reason": dead_letter.reason,
        "exception": dead_letter.exception,
        "message": dead_letter.message,
        "run_id": dead_letter.run_id or None,
        "batch_id": dead_letter.batch_id or None,
        "original": asdict(dead_letter.original) if dead_letter.original else None,
        "tries": dead_letter.tries,
        "deaths": found.deaths,
        "first_failed_at": _when(dead_letter.first_failed_at),
        "failed_at": _when(dead_letter.failed_at),
        "bytes": dead_letter.size,
        "last_action": action
        and {"action": action.action, "at": _when(action.at), "actor": action.actor, "reason": action.reason},
    }


def record(found: Record | None) -> dict[str, Any]:
    """Bytes are text where they are UTF-8, else base64 under another name."""
    if found is None:
        return {"record": None}
    headers = [{"name": name, **_bytes("value", value)} for name, value in found.headers]
    return {"record": {"headers": headers, **_bytes("key", found.key), **_bytes("value", found.value)}}


def data(previews: Sequence[Preview]) -> dict[str, Any]:
    """The first rows of each artifact behind a dead letter, or why there are none."""
    return {
        "data": [
            {
                "artifact": found.artifact.model_dump(),
                "rows": [jsonable(row) for row in found.rows],
                "problem": found.problem,
            }
            for found in previews
        ]
    }


def outcome(found: Outcome) -> dict[str, Any]:
    return {
        "replayed": [str(position) for position in found.replayed],
        "refused": [{"entry": str(position), "reason": why} for position, why in found.refused.items()],
    }


def jsonable(value: Any) -> Any:
    """A row of an artifact; times as text, numbers as numbers where JSON has them."""
    if isinstance(value, dict):
        return {str(name): jsonable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [jsonable(item) for item in value]
    if isinstance(value, datetime):
        return _when(value)
    if isinstance(value, date | Decimal):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)
    return value


def _bytes(name: str, value: bytes | None) -> dict[str, str | None]:
    if value is None:
        return {name: None}
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value).decode()}


def _when(value: datetime | None) -> str | None:
    return utc_text(value) if value else None
