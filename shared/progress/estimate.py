"""How much of a run is left, how fast its stages are, and when they are through: from what the run ledger recorded. Pure.

A stage's rate is that of the second half of its results, so it follows a change and yet is steady. The sink is asked
otherwise: it waits for enough rows on purpose, so its rate says nothing; it is through a while after what it gets.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from shared.events.topology import PARENT_STAGE, STAGES, Stage

PATIENCE: Final = 3.0
"""Times the usual pause between two results: after it a stage counts as standing still, and its rate falls."""

FEW_RESULTS: Final = 4
"""With fewer than these a stage's rate is a guess: the end of the stage before it counts as much."""

MANY_RESULTS: Final = 2 * FEW_RESULTS
"""With fewer than these the rate is that since the stage's first input."""

WAITS_FOR_ROWS: Final[frozenset[Stage]] = frozenset({"s3sink"})
"""Stages that collect batches before they work on them."""


@dataclass(frozen=True, slots=True)
class StageRecord:
    """A stage of a dataset of a run, as the ledger has it."""

    stage: Stage
    batches_planned: int | None
    """None while the crawl is not sealed."""
    rows_planned: int | None
    """Promised by the source; None: it promised no number."""
    batches_ended: int
    """Done or dead."""
    rows: int
    batches_dead: int = 0
    begun_at: datetime | None = None
    """When there was something to do for the first time; None: there was nothing yet."""
    half_at: datetime | None = None
    """When the first half of the results was there."""
    half_batches: int = 0
    half_rows: int = 0
    last_at: datetime | None = None
    """When the last result so far was recorded."""
    delay_s: float = 0.0
    """Between the newest result and its batch's result at the stage before."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """None: it cannot be told."""

    rows_to_go: int | None
    rows_per_s: float | None
    left_s: float | None
    """Seconds until the stage is through; 0: it is."""
    took_s: float
    """From its first input to its last result so far."""


def estimate(records: Iterable[StageRecord], now: datetime) -> dict[Stage, Estimate]:
    """The stages of one dataset of a run. A stage ends no sooner than the one before it."""
    known = {record.stage: record for record in records}
    found: dict[Stage, Estimate] = {}
    for stage in STAGES:
        if stage in known:
            parent = PARENT_STAGE[stage]
            record = _without_lost(known[stage], known)
            found[stage] = _of(record, known.get("crawler"), found.get(parent) if parent else None, now)
    return found


def _without_lost(record: StageRecord, known: Mapping[Stage, StageRecord]) -> StageRecord:
    """Batches that died at an earlier stage never come to this one."""
    if record.batches_planned is None:
        return record
    lost, parent = 0, PARENT_STAGE[record.stage]
    while parent is not None:
        lost += known[parent].batches_dead if parent in known else 0
        parent = PARENT_STAGE[parent]
    return replace(record, batches_planned=max(0, record.batches_planned - lost))


def run_left_s(datasets: Iterable[Mapping[Stage, Estimate]]) -> float | None:
    """Seconds until every stage of every dataset is through; None while one of them cannot be told."""
    left = [each.left_s for stages in datasets for each in stages.values()]
    known = [seconds for seconds in left if seconds is not None]
    return max(known) if known and len(known) == len(left) else None


def _of(record: StageRecord, crawl: StageRecord | None, parent: Estimate | None, now: datetime) -> Estimate:
    to_go = _rows_to_go(record, crawl)
    took_s = _seconds(record.begun_at, record.last_at)
    if to_go == 0 and _is_through(record):
        return Estimate(0, None, 0.0, took_s)
    rate = _rate(record, now)
    own_s = None if rate is None or to_go is None else _left_at(rate, to_go, record, now)
    after_s = None if parent is None or parent.left_s is None else parent.left_s + record.delay_s
    return Estimate(to_go, rate, _combined(record, own_s, after_s, parent), took_s)


def _combined(
    record: StageRecord, own_s: float | None, after_s: float | None, parent: Estimate | None
) -> float | None:
    """Of what the stage's own rate tells, and what the end of the stage before tells."""
    if record.stage in WAITS_FOR_ROWS or own_s is None or after_s is None or parent is None:
        return after_s if record.stage in WAITS_FOR_ROWS else own_s
    if record.batches_ended < FEW_RESULTS:
        return (max(own_s, parent.left_s or 0.0) + after_s) / 2
    return max(own_s, parent.left_s or 0.0)


def _left_at(rate: float, to_go: int, record: StageRecord, now: datetime) -> float:
    """The batches in hand have some of it behind them."""
    in_hand_s = min(_seconds(record.last_at, now), PATIENCE * _pause_s(record))
    return max(0.0, to_go / rate - in_hand_s)


def _is_through(record: StageRecord) -> bool:
    return record.batches_planned is not None and record.batches_ended >= record.batches_planned


def _rows_to_go(record: StageRecord, crawl: StageRecord | None) -> int | None:
    """By batches where their number is known, else by the promised rows; a stage keeps the share of rows that it had."""
    if record.batches_planned is not None:
        if not (left := max(0, record.batches_planned - record.batches_ended)):
            return 0
        if record.batches_ended:
            return round(left * record.rows / record.batches_ended)
        if crawl is not None and crawl.batches_ended:
            return round(left * crawl.rows / crawl.batches_ended)
    if record.rows_planned is None:
        return None
    share = 1.0
    if (
        record.stage != "crawler"
        and record.batches_ended
        and crawl is not None
        and crawl.rows
        and crawl.batches_ended
    ):
        share = (record.rows / record.batches_ended) / (crawl.rows / crawl.batches_ended)
    return max(0, round(record.rows_planned * share) - record.rows)


def _rate(record: StageRecord, now: datetime) -> float | None:
    """Rows per second; None before the first result."""
    if record.last_at is None or not record.rows:
        return None
    since, rows = _window(record)
    stood_still_s = max(0.0, _seconds(record.last_at, now) - PATIENCE * _pause_s(record))
    seconds = _seconds(since, record.last_at) + stood_still_s
    return rows / seconds if rows > 0 and seconds > 0 else None


def _window(record: StageRecord) -> tuple[datetime | None, int]:
    """Since when the rate counts, and the rows since then."""
    if record.batches_ended < MANY_RESULTS or record.half_at is None:
        return record.begun_at, record.rows
    return record.half_at, record.rows - record.half_rows


def _pause_s(record: StageRecord) -> float:
    """Between two results, on average."""
    since, _ = _window(record)
    results = record.batches_ended - (record.half_batches if since is record.half_at else 0)
    return _seconds(since, record.last_at) / max(1, results)


def _seconds(start: datetime | None, end: datetime | None) -> float:
    return 0.0 if start is None or end is None else max(0.0, (end - start).total_seconds())
