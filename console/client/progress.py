"""How far a run is, from the ledger's numbers. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast, get_args

from console.client.ledger import StageProgress
from shared.events.topology import Stage
from shared.progress.estimate import Estimate, estimate, run_left_s

STAGES: tuple[Stage, ...] = get_args(Stage)

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
    estimates: Mapping[Key, Estimate] = field(default_factory=dict)
    phase: str | None = None
    """What it does or waits for, where the counts do not show it."""
    note: str | None = None

    @property
    def left_s(self) -> float | None:
        """Seconds until the run's last stage is through; None while that cannot be told."""
        datasets: defaultdict[str, dict[Stage, Estimate]] = defaultdict(dict)
        for (dataset, stage), each in self.estimates.items():
            datasets[dataset][cast("Stage", stage)] = each
        return run_left_s(datasets.values())


def by_key(stages: Sequence[StageProgress]) -> dict[Key, StageProgress]:
    return {(stage.dataset, stage.stage): stage for stage in stages}


def estimates_of(stages: Mapping[Key, StageProgress]) -> dict[Key, Estimate]:
    """Rates and times to go, of stages that were read at one moment."""
    datasets: defaultdict[str, list[StageProgress]] = defaultdict(list)
    for (dataset, _), stage in stages.items():
        datasets[dataset].append(stage)
    found: dict[Key, Estimate] = {}
    for dataset, of_it in datasets.items():
        now = of_it[0].read_at
        if now is not None:
            told = estimate((stage.record for stage in of_it), now)
            found |= {(dataset, name): each for name, each in told.items()}
    return found


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


def ended(stage: StageProgress) -> int:
    """Batches with a result, done or dead."""
    return stage.batches_done + stage.batches_dead


def progress_document(stage: StageProgress, snapshot: Snapshot) -> dict[str, Any]:
    """A stage of a dataset as JSON shows it."""
    told = snapshot.estimates.get((stage.dataset, stage.stage))
    return {
        "dataset": stage.dataset,
        "stage": stage.stage,
        "batches_planned": stage.batches_planned,
        "rows_planned": stage.rows_planned,
        "batches_done": stage.batches_done,
        "batches_dead": stage.batches_dead,
        "rows": stage.rows,
        "rows_to_go": told.rows_to_go if told else None,
        "rows_per_s": told.rows_per_s if told else None,
        "left_s": told.left_s if told else None,
        "lag_s": round(stage.lag_s, 3),
    }
