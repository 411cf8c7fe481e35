"""The dead letters as entries of a work queue: one per record that died, however often, with what became of it.

The index is a private temporary SQLite database: it has a few hundred bytes of each dead letter, in a few megabytes of
memory and then on disk, so that a queue of any length can be grouped, filtered and counted. It has no payload.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

from console.client.dead_letters.record import DeadLetter, Original, Position

State = Literal["open", "replayed", "resolved", "discarded"]
STATES: Final[tuple[State, ...]] = get_args(State)

_COLUMNS = (
    "partition",
    "offset",
    "appended_ms",
    "original_topic",
    "original_partition",
    "original_offset",
    "original_timestamp_ms",
    "stage",
    "result_stage",
    "reason",
    "exception",
    "message",
    "tries",
    "first_failed_at",
    "failed_at",
    "run_id",
    "batch_id",
    "size",
    "dataset",
    "is_truncated",
)
_NEWER = "(excluded.appended_ms, excluded.offset) > (dead_letters.appended_ms, dead_letters.offset)"

# Names of columns are this module's own; every value is bound.
_SCHEMA = f"""
PRAGMA journal_mode = OFF;
PRAGMA cache_size = -8192;
CREATE TABLE dead_letters (
    service TEXT, identity TEXT, deaths INTEGER, {", ".join(_COLUMNS)}, PRIMARY KEY (service, identity)
) WITHOUT ROWID;
CREATE TABLE actions (
    service TEXT, identity TEXT, partition INTEGER, offset INTEGER, action TEXT, at TEXT, actor TEXT, reason TEXT,
    acknowledged_at TEXT, PRIMARY KEY (service, identity)
) WITHOUT ROWID;
CREATE TABLE results (batch_id TEXT, stage TEXT, PRIMARY KEY (batch_id, stage)) WITHOUT ROWID;
CREATE VIEW entries AS
SELECT l.*, a.action, a.at AS acted_at, a.actor, a.reason AS action_reason,
    a.partition AS acted_partition, a.offset AS acted_offset, a.acknowledged_at,
    CASE
        WHEN a.action = 'discard' AND (a.partition, a.offset) = (l.partition, l.offset) THEN 'discarded'
        WHEN r.batch_id IS NOT NULL THEN 'resolved'
        WHEN a.action = 'replay' AND (a.partition, a.offset) = (l.partition, l.offset) THEN 'replayed'
        ELSE 'open'
    END AS state
FROM dead_letters l
LEFT JOIN actions a ON a.service = l.service AND a.identity = l.identity
LEFT JOIN results r ON r.batch_id = l.batch_id AND r.stage = l.result_stage;
"""  # noqa: S608
_INSERT = f"""
INSERT INTO dead_letters (service, identity, deaths, {", ".join(_COLUMNS)})
VALUES (?, ?, 1, {", ".join("?" * len(_COLUMNS))})
ON CONFLICT DO UPDATE SET deaths = deaths + 1,
{", ".join(f"{name} = CASE WHEN {_NEWER} THEN excluded.{name} ELSE dead_letters.{name} END" for name in _COLUMNS)}
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Action:
    """A replay or a discard of a dead letter."""

    position: Position
    identity: str
    """Of the record that died."""
    action: Literal["replay", "discard"]
    at: datetime
    actor: str
    reason: str | None
    acknowledged_at: datetime
    """When it was known to have happened."""


@dataclass(frozen=True, slots=True)
class Entry:
    dead_letter: DeadLetter
    """The newest one of its record."""
    state: State
    deaths: int
    """Dead letters of the record, as far as they were read."""
    last_action: Action | None


@dataclass(frozen=True, slots=True)
class Filters:
    """None: any."""

    service: str | None = None
    run_id: str | None = None
    stage: str | None = None
    reason: str | None = None
    state: State | None = None

    def is_empty(self) -> bool:
        """Whether nothing but a state narrows the queue."""
        return not (self.service or self.run_id or self.stage or self.reason)


class WorkQueue:
    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def add_dead_letters(self, dead_letters: Iterable[DeadLetter]) -> None:
        """In any order. The newest dead letter of a record is its entry."""
        self._insert(_INSERT, map(_row, dead_letters))

    def add_actions(self, actions: Iterable[Action]) -> None:
        """Oldest first. An action on an earlier dead letter of a record that died again leaves its entry open."""
        rows = (
            (
                a.position.service,
                a.identity,
                a.position.partition,
                a.position.offset,
                a.action,
                a.at.isoformat(),
                a.actor,
                a.reason,
                a.acknowledged_at.isoformat(),
            )
            for a in actions
        )
        self._insert("INSERT OR REPLACE INTO actions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def add_results(self, done: Iterable[tuple[str, str]]) -> None:
        """Batches that got through a stage."""
        self._insert("INSERT OR IGNORE INTO results VALUES (?, ?)", done)

    def batches_without_result(self, pieces: int = 1000) -> Iterator[list[str]]:
        """Ids of the batches whose results would decide the state of an entry, and are not known."""
        found = self._db.execute(
            "SELECT DISTINCT l.batch_id FROM dead_letters l WHERE l.batch_id <> '' AND l.result_stage IS NOT NULL "
            "AND NOT EXISTS (SELECT 1 FROM results r WHERE r.batch_id = l.batch_id AND r.stage = l.result_stage)"
        ).fetchall()
        for first in range(0, len(found), pieces):
            yield [row["batch_id"] for row in found[first : first + pieces]]

    def count(self, filters: Filters) -> dict[State, int]:
        """Entries of each state; the state of `filters` does not count."""
        where, values = _where(filters, state=False)
        rows = self._db.execute(f"SELECT state, count(*) AS n FROM entries {where} GROUP BY state", values)  # noqa: S608
        found = {row["state"]: row["n"] for row in rows}
        return {state: found.get(state, 0) for state in STATES}

    def latest(self, filters: Filters, limit: int) -> list[Entry]:
        return self._entries(filters, "appended_ms DESC, service, partition, offset DESC", limit)

    def oldest(self, filters: Filters, limit: int) -> list[Entry]:
        return self._entries(filters, "appended_ms, service, partition, offset", limit)

    def entry(self, service: str, identity: str) -> Entry | None:
        """The entry of a record that died (`DeadLetter.identity`)."""
        row = self._db.execute(
            "SELECT * FROM entries WHERE service = ? AND identity = ?", (service, identity)
        ).fetchone()
        return None if row is None else _entry(row)

    def _entries(self, filters: Filters, order: str, limit: int) -> list[Entry]:
        where, values = _where(filters, state=True)
        rows = self._db.execute(f"SELECT * FROM entries {where} ORDER BY {order} LIMIT ?", [*values, limit])  # noqa: S608
        return [_entry(row) for row in rows]

    def _insert(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self._db.execute("BEGIN")
        self._db.executemany(sql, rows)
        self._db.execute("COMMIT")


def _where(filters: Filters, *, state: bool) -> tuple[str, list[str]]:
    asked = {
        "service": filters.service,
        "run_id": filters.run_id,
        "stage": filters.stage,
        "reason": filters.reason,
        "state": filters.state if state else None,
    }
    used = {name: value for name, value in asked.items() if value is not None}
    where = f"WHERE {' AND '.join(f'{name} = ?' for name in used)}" if used else ""
    return where, list(used.values())


def _row(dead_letter: DeadLetter) -> tuple[Any, ...]:
    original = dead_letter.original
    return (
        dead_letter.position.service,
        dead_letter.identity,
        dead_letter.position.partition,
        dead_letter.position.offset,
        dead_letter.appended_ms,
        original.topic if original else None,
        original.partition if original else None,
        original.offset if original else None,
        original.timestamp_ms if original else None,
        dead_letter.stage,
        dead_letter.result_stage,
        dead_letter.reason,
        dead_letter.exception,
        dead_letter.message,
        dead_letter.tries,
        dead_letter.first_failed_at.isoformat() if dead_letter.first_failed_at else None,
        dead_letter.failed_at.isoformat(),
        dead_letter.run_id,
        dead_letter.batch_id,
        dead_letter.size,
        dead_letter.dataset,
        dead_letter.is_truncated,
    )


def _entry(row: sqlite3.Row) -> Entry:
    position = Position(row["service"], row["partition"], row["offset"])
    original = None
    if row["original_topic"] is not None:
        original = Original(
            row["original_topic"],
            row["original_partition"],
            row["original_offset"],
            row["original_timestamp_ms"],
        )
    dead_letter = DeadLetter(
        position=position,
        appended_ms=row["appended_ms"],
        original=original,
        stage=row["stage"],
        reason=row["reason"],
        exception=row["exception"],
        message=row["message"],
        tries=row["tries"],
        first_failed_at=_time(row["first_failed_at"]),
        failed_at=datetime.fromisoformat(row["failed_at"]).astimezone(UTC),
        run_id=row["run_id"],
        batch_id=row["batch_id"],
        size=row["size"],
        dataset=row["dataset"],
        is_truncated=bool(row["is_truncated"]),
    )
    action = None
    if row["action"] is not None:
        at = datetime.fromisoformat(row["acted_at"])
        acted_on = Position(row["service"], row["acted_partition"], row["acted_offset"])
        acknowledged_at = datetime.fromisoformat(row["acknowledged_at"])
        action = Action(
            acted_on, row["identity"], row["action"], at, row["actor"], row["action_reason"], acknowledged_at
        )
    return Entry(dead_letter, row["state"], row["deaths"], action)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
