"""How far a run is, from the ledger's numbers. Pure."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from console.client.ledger import StageProgress
from shared.events.topology import Stage

STAGES: tuple[Stage, ...] = get_args(Stage)

PACE_WINDOW_S = 15.0
"""Long enough that batches of a few seconds give a steady rate, short enough to follow a change."""

Key = tuple[str, str]
"""Dataset and stage."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment."""

    run_id: str
    status: str
    elapsed_s: float
    datasets: tuple[str, ...]
    stages: Mapping[Key, StageProgress] = field(default_factory=dict)
    rows_per_s: Mapping[Key, float] = field(default_factory=dict)
    phase: str | None = None
    """What it does or waits for, where the counts do not show it."""
    note: str | None = None


def by_key(stages: Sequence[StageProgress]) -> dict[Key, StageProgress]:
    return {(stage.dataset, stage.stage): stage for stage in stages}


class Pace:
    """Rows per second of each stage, over the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, dict[Key, int]]] = deque()

    def observe(self, at_s: float, stages: Mapping[Key, StageProgress]) -> dict[Key, float]:
        rows = {key: stage.rows for key, stage in stages.items()}
        self._seen.append((at_s, rows))
        while len(self._seen) > 2 and at_s - self._seen[0][0] > PACE_WINDOW_S:  # noqa: PLR2004 - a rate needs two
            self._seen.popleft()
        began_s, before = self._seen[0]
        if at_s <= began_s:
            return {}
        rates = {key: (now - before.get(key, 0)) / (at_s - began_s) for key, now in rows.items()}
        return {key: rate for key, rate in rates.items() if rate > 0}


def is_over(stage: StageProgress | None) -> bool:
    return stage is not None and stage.batches_planned is not None and ended(stage) >= stage.batches_planned


def fraction(stage: StageProgress | None) -> float | None:
    """Of the stage's work, from 0 to 1; None while its total is not known."""
    if stage is None:
        return None
    if stage.batches_planned is not None:
        return min(1.0, ended(stage) / stage.batches_planned) if stage.batches_planned else 1.0
    if stage.rows_planned:
        return min(1.0, stage.rows / stage.rows_planned)
    return None


def left_s(stage: StageProgress, rows_per_s: float | None) -> float | None:
    """Seconds until the stage is over at this pace; None while it cannot be estimated."""
    if not rows_per_s or is_over(stage):
        return None
    if stage.batches_planned is not None and stage.batches_done:
        rows_per_batch = stage.rows / stage.batches_done
        return (stage.batches_planned - ended(stage)) * rows_per_batch / rows_per_s
    if stage.rows_planned is not None and stage.rows_planned > stage.rows:
        return (stage.rows_planned - stage.rows) / rows_per_s
    return None


def ended(stage: StageProgress) -> int:
    """Batches with a result, done or dead."""
    return stage.batches_done + stage.batches_dead
