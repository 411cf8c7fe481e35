"""Shows the state of the pipeline in the metrics of this process."""

from collections import defaultdict

from services.quality.adapters.state import StateRepository
from services.quality.domain.state import OpenDataset, PipelineState
from shared.events.topology import STAGES, Stage
from shared.observability import metrics
from shared.progress.estimate import Estimate, estimate, run_left_s

_OF_RUNS = (
    metrics.RUN_ROWS_PROMISED,
    metrics.RUN_ROWS,
    metrics.RUN_ROWS_TO_GO,
    metrics.RUN_STAGE_SECONDS,
    metrics.RUN_ROWS_PER_SECOND,
    metrics.RUN_STAGE_ETA_SECONDS,
    metrics.RUN_ETA_SECONDS,
)


class PipelineMetrics:
    def __init__(self, states: StateRepository) -> None:
        self._states = states

    async def refresh(self) -> None:
        """Reads the ledger and replaces what is shown. Raises `DatabaseUnavailableError`; the last figures stay then."""
        show(await self._states.read())


def show(state: PipelineState) -> None:
    """Without a pause in between, so that no scrape sees half of it."""
    metrics.OPEN_RUNS.set(state.open_runs)
    metrics.OLDEST_OPEN_RUN_SECONDS.set(state.oldest_open_run_s)
    for stage in STAGES[1:]:
        metrics.OLDEST_BATCH_SECONDS.labels(stage).set(state.oldest_batch_s.get(stage, 0.0))
    metrics.RUN_SUCCESS_RATIO.set(state.run_success_ratio)
    metrics.ROW_SUCCESS_RATIO.set(state.row_success_ratio)
    metrics.RUN_DATASETS_HIDDEN.set(state.datasets_hidden)
    for gauge in _OF_RUNS:
        gauge.clear()
    runs: defaultdict[str, list[dict[Stage, Estimate]]] = defaultdict(list)
    for dataset in state.datasets:
        estimates = estimate(dataset.stages, state.now)
        runs[dataset.run_id].append(estimates)
        _show_dataset(dataset, estimates)
    for run_id, datasets in runs.items():
        if (left_s := run_left_s(datasets)) is not None:
            metrics.RUN_ETA_SECONDS.labels(run_id).set(left_s)
    metrics.STATE_MEASURED.set_to_current_time()


def _show_dataset(dataset: OpenDataset, estimates: dict[Stage, Estimate]) -> None:
    names = dataset.run_id, dataset.dataset
    if dataset.rows_promised is not None:
        metrics.RUN_ROWS_PROMISED.labels(*names).set(dataset.rows_promised)
    for record in dataset.stages:
        found = estimates[record.stage]
        metrics.RUN_ROWS.labels(*names, record.stage).set(record.rows)
        metrics.RUN_STAGE_SECONDS.labels(*names, record.stage).set(found.took_s)
        for gauge, value in (
            (metrics.RUN_ROWS_TO_GO, found.rows_to_go),
            (metrics.RUN_ROWS_PER_SECOND, found.rows_per_s),
            (metrics.RUN_STAGE_ETA_SECONDS, found.left_s),
        ):
            if value is not None:
                gauge.labels(*names, record.stage).set(value)
