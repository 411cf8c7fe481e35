"""The row accounting of a run: the result of every crawled row."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from shared.events.models import DatasetSummary, DeadBatch, MissingRecords
from shared.events.topology import STAGES, ReplayStage, Stage, stages_of


@dataclass(frozen=True, slots=True)
class StageTotals:
    """Sums over the batches of a dataset that are done, or dead, at a stage."""

    dataset: str
    stage: Stage
    status: Literal["done", "dead"]
    read: int
    """Of dead batches: the rows that get no further, which are the output of the stage before."""
    accepted: int = 0
    rejected: int = 0
    deduplicated: int = 0
    loaded: int = 0
    superseded: int = 0
    filtered: int = 0
    added: int = 0
    repeated: int = 0
    """Of the rows of a run that came more than once, those with the same content."""


@dataclass(frozen=True, slots=True)
class Rejections:
    """Rows of a dataset that were refused for one reason."""

    dataset: str
    reason: str
    rows: int


@dataclass(frozen=True, slots=True)
class AbsentColumn:
    """A column whose field no record of the run had, and fields of the records that no column is for."""

    dataset: str
    column: str
    unnamed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Remark:
    """A warning of a stage, though nothing failed."""

    dataset: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Cause:
    """The first of a dataset's dead results: the source of the text about them."""

    stage: Stage
    reason: str
    detail: str | None


@dataclass(frozen=True, slots=True)
class Files:
    """Distinct files that a stage wrote for a dataset."""

    dataset: str
    stage: Stage
    format: str
    count: int
    bytes: int


@dataclass(frozen=True, slots=True)
class PartlyConverted:
    """Batches that the converter is done with though it could not write every format that was asked for."""

    dataset: str
    written: tuple[str, ...]
    """Formats of the files that are there."""
    batches: int


@dataclass(frozen=True, slots=True)
class DatasetPlan:
    batches: int
    rows: int | None
    """The most records that the source promised; None where it gave no number."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """All that the ledger knows of a drained run. `dead` and `missing` are bounded lists of the first."""

    run_id: str
    requested_at: datetime
    started_at: datetime
    refused: str | None
    plans: Mapping[str, DatasetPlan]
    totals: tuple[StageTotals, ...]
    files: tuple[Files, ...]
    dead_batches: Mapping[str, int]
    """Batches that are dead at any stage, per dataset."""
    cancelled: bool
    dead: tuple[DeadBatch, ...]
    dead_total: int
    missing: tuple[MissingRecords, ...]
    missing_total: int
    from_stage: ReplayStage | None = None
    """Where a replay begins. `totals`, `files` and `dead` are of the stages that it has."""
    formats: tuple[str, ...] | None = None
    """What the request asked for; None: each dataset's own."""
    partly_converted: tuple[PartlyConverted, ...] = ()
    rejections: tuple[Rejections, ...] = ()
    causes: Mapping[str, Cause] = field(default_factory=dict)
    """Of the datasets with dead batches."""
    missing_pages: Mapping[str, int] = field(default_factory=dict)
    absent: tuple[AbsentColumn, ...] = ()
    remarks: tuple[Remark, ...] = ()

    @property
    def stages(self) -> tuple[Stage, ...]:
        return stages_of(self.from_stage)


def summarize(facts: RunFacts) -> dict[str, DatasetSummary]:
    """The summary of each dataset, in the order of the request."""
    return {name: _summary(facts, name, plan) for name, plan in facts.plans.items()}


def _summary(facts: RunFacts, name: str, plan: DatasetPlan) -> DatasetSummary:
    files = [entry for entry in facts.files if entry.dataset == name]
    objects = [entry for entry in files if entry.stage == "s3sink"]
    rows = DatasetSummary.model_validate(_rows(total for total in facts.totals if total.dataset == name))
    return rows.model_copy(
        update={
            "batches": plan.batches,
            "batches_dead": facts.dead_batches.get(name, 0),
            "rows_promised": plan.rows,
            "rejected_by_reason": {
                entry.reason: entry.rows for entry in facts.rejections if entry.dataset == name
            },
            "objects_stored": sum(entry.count for entry in objects),
            "bytes_stored": sum(entry.bytes for entry in objects),
            "exports": _exports(files),
        }
    )


def distinct_records(facts: RunFacts, dataset: str) -> int:
    """Records that came, those that came twice counted once.

    Where a transform makes several rows of a record, no row tells whether its record came twice.
    """
    totals = [total for total in facts.totals if total.dataset == dataset]
    crawled = sum(total.read for total in totals if total.stage == "crawler")
    if any(total.added for total in totals):
        return crawled
    return crawled - sum(total.repeated for total in totals if total.stage in {"processor", "loader"})


def mismatches(summaries: Mapping[str, DatasetSummary], stages: Collection[Stage] = STAGES) -> list[str]:
    """The mismatches between stages: rows lost or gained, one sentence each. `stages` are those of the run."""
    found = []
    for name, summary in summaries.items():
        processed = summary.rows_accepted + summary.rows_rejected + summary.rows_deduplicated
        if summary.rows_crawled + summary.rows_added != processed + summary.rows_filtered:
            added = f" + {summary.rows_added} added" if summary.rows_added else ""
            filtered = f" + {summary.rows_filtered} filtered" if summary.rows_filtered else ""
            found.append(
                f"the row counts of {name} do not match: {summary.rows_crawled} rows crawled{added}, "
                f"{summary.rows_accepted} accepted + {summary.rows_rejected} rejected "
                f"+ {summary.rows_deduplicated} deduplicated{filtered}"
            )
        loaded = summary.rows_loaded + summary.rows_superseded + summary.rows_not_loaded
        if "loader" in stages and summary.rows_accepted != loaded:
            found.append(
                f"the row counts of {name} do not match: {summary.rows_accepted} rows accepted, {summary.rows_loaded} loaded"
                f" + {summary.rows_superseded} superseded + {summary.rows_not_loaded} not loaded"
            )
        if "s3sink" in stages and summary.rows_accepted != summary.rows_stored + summary.rows_not_stored:
            found.append(
                f"the row counts of {name} do not match: {summary.rows_accepted} rows accepted, {summary.rows_stored} stored"
                f" + {summary.rows_not_stored} not stored"
            )
    return found


def format_label(artifact_format: str) -> str:
    """The format as it was asked for: `csv.gz` is how a `csv` is written."""
    return artifact_format.partition(".")[0]


def _rows(totals: Iterable[StageTotals]) -> dict[str, int]:
    rows = dict.fromkeys(
        (
            "rows_crawled",
            "rows_accepted",
            "rows_rejected",
            "rows_deduplicated",
            "rows_loaded",
            "rows_superseded",
            "rows_not_loaded",
            "rows_stored",
            "rows_not_stored",
            "rows_filtered",
            "rows_added",
        ),
        0,
    )
    for total in totals:
        match total.stage, total.status:
            case "crawler", status:
                rows["rows_crawled"] += total.read
                rows["rows_rejected"] += total.read if status == "dead" else 0
            case "processor", "done":
                rows["rows_accepted"] += total.accepted
                rows["rows_rejected"] += total.rejected
                rows["rows_deduplicated"] += total.deduplicated
                rows["rows_filtered"] += total.filtered
                rows["rows_added"] += total.added
            case "processor", "dead":
                rows["rows_rejected"] += total.read
            case "loader", "done":
                rows["rows_loaded"] += total.loaded
                rows["rows_superseded"] += total.superseded
                rows["rows_not_loaded"] += total.rejected
            case "loader", "dead":
                rows["rows_not_loaded"] += total.read
            case "s3sink", "done":
                rows["rows_stored"] += total.read
            case "s3sink", "dead":
                rows["rows_not_stored"] += total.read
            case _:
                pass  # the converter's rows are copies and do not count
    return rows


def _exports(files: Iterable[Files]) -> dict[str, int]:
    exports: dict[str, int] = {}
    for entry in files:
        if entry.stage == "converter":
            label = format_label(entry.format)
            exports[label] = exports.get(label, 0) + entry.count
    return exports
