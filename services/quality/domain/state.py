"""What goes on in the pipeline at one moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.events.topology import Stage
from shared.progress.estimate import StageRecord


@dataclass(frozen=True, slots=True)
class OpenDataset:
    """Of a run that goes on."""

    run_id: str
    dataset: str
    rows_promised: int | None
    stages: Sequence[StageRecord]


@dataclass(frozen=True, slots=True)
class PipelineState:
    now: datetime
    open_runs: int
    oldest_open_run_s: float
    datasets: Sequence[OpenDataset]
    """Of the newest open runs; a bounded number."""
    datasets_hidden: int
    """Those of open runs that are not among them."""
    oldest_batch_s: Mapping[Stage, float]
    """Age of the oldest batch that waits for the stage; a stage that none waits for is left out."""
    run_success_ratio: float
    row_success_ratio: float
    """Both of runs that ended in the last 24 hours."""
