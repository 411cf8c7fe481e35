"""Is a request to replay a run to be accepted? What is particular to it; the rest is as in any request."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

from services.crawler.domain.naming import listed
from shared.events.ids import is_run_id
from shared.events.models import CrawlRequest
from shared.events.names import Format
from shared.events.topology import ReplayStage

STAGES: tuple[ReplayStage, ...] = get_args(ReplayStage)


@dataclass(frozen=True, slots=True)
class Replay:
    """A request to replay; what it complains of is told elsewhere, so its values are good only without complaints."""

    run_id: str
    from_stage: ReplayStage
    datasets: Any
    """As they were asked for; where they were not, all of the replayed run. None: there is no run to replay."""
    formats: tuple[Format, ...] | None
    """Those of the replayed run."""


def replayed_run(document: Mapping[str, Any]) -> str | None:
    """The run that a request wants replayed, if it names one as it must be named."""
    asked = document.get("replay_of")
    return asked if isinstance(asked, str) and is_run_id(asked) else None


def judge_replay(
    fields: Mapping[str, Any], replayed: CrawlRequest | None, complain: Callable[[str], None]
) -> Replay | None:
    """None: it is no replay. `replayed` is the accepted request of the old run, None where there is no such run."""
    if "replay_of" not in fields and "from_stage" not in fields:
        return None
    run_id, stage = replayed_run(fields), fields.get("from_stage")
    if "replay_of" not in fields:
        complain("replay_of: missing; from_stage says where a replay begins")
    elif run_id is None:
        complain(f"replay_of: {fields['replay_of']!r:.60} is no run id")
    elif replayed is None:
        complain(f"replay_of: run {run_id} is not known")
    elif replayed.refused is not None:
        complain(f"replay_of: run {run_id} was refused, so it has nothing to replay")
    if stage not in STAGES:
        complain(f"from_stage: one of {', '.join(STAGES)} is expected, not {stage!r:.60}")
    if fields.get("parameters"):
        complain("parameters: a replay asks no source, so it takes none")
    return Replay(
        run_id=run_id or "",
        from_stage=cast("ReplayStage", stage),
        datasets=_datasets(fields, replayed, complain),
        formats=None if replayed is None else replayed.formats,
    )


def _datasets(
    fields: Mapping[str, Any], replayed: CrawlRequest | None, complain: Callable[[str], None]
) -> Any:
    if replayed is None or replayed.refused is not None:
        return None
    asked = fields.get("datasets", list(replayed.datasets))
    if isinstance(asked, list) and (more := [name for name in asked if name not in replayed.datasets]):
        names = ", ".join(f"{name!r:.60}" for name in more[:5])
        complain(
            f"datasets: run {replayed.run_id} has no {names}, only {listed(replayed.datasets, str(more[0]))}"
        )
    return asked
