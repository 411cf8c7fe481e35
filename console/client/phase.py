"""What a run does or waits for while its counts do not show it. Pure."""

from collections.abc import Mapping

from console.client.ledger import RunRow, StageProgress
from console.client.progress import Key
from console.formatting import duration, quantity

UNNOTICED_S = 10.0
"""A crawler that is up takes a request within a second."""

UNNOTICED = "no service has taken the run up yet: are they running? see `onpoint ps`"
ASKED = "asked, waiting for the crawler"


def phase(run: RunRow | None, stages: Mapping[Key, StageProgress], since_s: float) -> str | None:
    """None: the counts show it. `since_s`: seconds since the run was requested."""
    if run is None:
        return UNNOTICED if since_s > UNNOTICED_S else None
    if run.status != "running":
        return None
    if not run.is_taken_up:
        return ASKED if since_s <= UNNOTICED_S else f"{ASKED} for {duration(since_s)}: {_who_to_ask()}"
    return _crawling(run, stages)


def _who_to_ask() -> str:
    return "is it running? see `onpoint ps`, and `onpoint dlq list` for a request that could not be handled"


def _crawling(run: RunRow, stages: Mapping[Key, StageProgress]) -> str | None:
    crawled = [stages.get((dataset, "crawler")) for dataset in run.datasets]
    if crawled and all(stage is not None and stage.batches_planned is not None for stage in crawled):
        return None
    known = [stage for stage in crawled if stage is not None]
    if not any(stage.batches_done + stage.batches_dead for stage in known):
        return "crawling: no batch is done yet"
    return f"crawling: {quantity(sum(stage.rows for stage in known), 'record')} so far"
