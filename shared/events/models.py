"""The events of the bus: frozen, strict, versioned.

A field is added with a default and bumps `REVISION`; a new meaning is a new `VERSION`. Readers accept a newer
revision (its unknown fields are dropped, at any depth) and refuse another version.
"""

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
)

from shared.events.ids import BATCH_ID_PATTERN, DATASET_PATTERN, RUN_ID_PATTERN, SHA256_PATTERN
from shared.events.names import Format, Severity
from shared.events.times import utc_text
from shared.events.topology import ReplayStage, Stage
from shared.reasons import Reason

VERSION: Final = 1
REVISION: Final = 7

MAX_TEXT_CHARS = 4096
"""Bound of every free text in an event: room for an error message, no room for a payload."""

MAX_LIST_ITEMS = 10_000
"""Bound of every list in an event; the broker's record limit (1 MiB) is met long before."""

MAX_COMBINED_FILES = 1_000
"""Of a dataset and format: each takes some 350 bytes of an event."""

MAX_UNNAMED_FIELDS = 50


def _to_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("before the year 1 or after 9999 in UTC") from error


def _whole(pattern: str) -> str:
    return f"^{pattern}$"


def _is_zero(count: int) -> bool:
    return count == 0


def _is_nothing(value: object) -> bool:
    return value is None or value in ("", {}, False)


def _sorted(counts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))


Timestamp = Annotated[
    AwareDatetime, AfterValidator(_to_utc), PlainSerializer(utc_text, when_used="json-unless-none")
]
RunId = Annotated[str, StringConstraints(pattern=_whole(RUN_ID_PATTERN), max_length=128)]
DatasetName = Annotated[str, StringConstraints(pattern=_whole(DATASET_PATTERN), max_length=63)]
BatchId = Annotated[str, StringConstraints(pattern=_whole(BATCH_ID_PATTERN))]
Sha256 = Annotated[str, StringConstraints(pattern=_whole(SHA256_PATTERN))]
ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=63)]
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT_CHARS)]
FieldName = Annotated[str, StringConstraints(max_length=200)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
ReasonName = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,32}$")]
ReasonCounts = Annotated[dict[ReasonName, Count], Field(max_length=100), AfterValidator(_sorted)]
"""Rows by the reason of their refusal, in the order of the reasons' names."""
ParamValue = str | int | float | bool | None | tuple[str | int | float | bool, ...]
RunStatus = Literal["succeeded", "partial", "failed", "cancelled"]


class Part(BaseModel):
    """A value inside an event."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Event(Part):
    version: Literal[1] = VERSION
    revision: Annotated[int, Field(ge=0)] = REVISION


class DatasetParameters(Part):
    limit: Annotated[int, Field(ge=0, le=10**12)] | None = None
    """The number of records from the source's first on; absent: all of them."""
    since: Annotated[Text | None, Field(exclude_if=_is_nothing)] = None
    """A day, a time, or a number: records from there on. Absent: since the last complete run."""
    until: Annotated[Text | None, Field(exclude_if=_is_nothing)] = None
    """Records before it; absent: up to the time of the request."""
    full: Annotated[bool, Field(exclude_if=_is_nothing)] = False
    """Everything again, whatever earlier runs have."""
    params: Annotated[dict[DatasetName, ParamValue], Field(max_length=100, exclude_if=_is_nothing)] = {}
    """In place of those of the file."""


class CrawlRequest(Part):
    """A request as it was accepted: the content of `runs/<run_id>/request.json`, which every later stage reads."""

    run_id: RunId
    datasets: Annotated[tuple[DatasetName, ...], Field(max_length=MAX_LIST_ITEMS)]
    requested_at: Timestamp
    """The broker's append time of the record that asked first."""
    requested_by: Text | None = None
    parameters: dict[DatasetName, DatasetParameters] = {}
    formats: tuple[Format, ...] | None = None
    """None: each dataset's own."""
    replay_of: RunId | None = None
    from_stage: ReplayStage | None = None
    refused: Text | None = None
    """Why the run ended at once; None for a run that goes ahead."""


class PlanWork(Part):
    """Make the dataset's plan: ask the source how much there is."""

    kind: Literal["plan"] = "plan"


class PageWork(Part):
    """Pages `first_page` (from 1) to `first_page + pages - 1` of the plan."""

    kind: Literal["pages"] = "pages"
    first_page: Annotated[int, Field(ge=1)]
    pages: Annotated[int, Field(ge=1)]


class IdWork(Part):
    """The plan's ids from `start` (from 0) up to, and without, `stop`."""

    kind: Literal["ids"] = "ids"
    start: Count
    stop: Count


class CursorWork(Part):
    """Go on from a cursor: an absolute URL that the previous batch's last page named."""

    kind: Literal["cursor"] = "cursor"
    url: Text
    first_position: Count
    seen: Annotated[tuple[Sha256, ...], Field(max_length=8)] = ()
    """Digests of earlier pages of the crawl: one of them that comes again ends it."""
    pages: Count = 0
    """Pages with records that were read one after another before this batch."""
    promised: Count | None = None
    """The most records that the answers before this batch promised."""
    end_shown: bool = False
    """The page before was short: a missing page is then not a failure."""
    by_link: bool = False
    """A link of the page before named it, and it is not the one after it by number."""
    state: Annotated[Text, Field(exclude_if=_is_nothing)] = ""
    """Of a source whose file writes the request: where its chain is, as the crawler's own JSON."""
    empty: Annotated[Count, Field(exclude_if=_is_zero)] = 0
    """Pages without records that were read one after another before this batch.

    Not written where there are none: readers of revision 3 and before refuse a field of a part that they do not know.
    """


class ReplayWork(Part):
    """Copy another run's result of `stage` for its batch `sequence`. No source is requested."""

    kind: Literal["replay"] = "replay"
    run_id: RunId
    sequence: Count
    stage: Literal["crawler", "processor"]


CrawlWork = Annotated[PlanWork | PageWork | IdWork | CursorWork | ReplayWork, Field(discriminator="kind")]


class CrawlBatchRequested(Event):
    run_id: RunId
    dataset: DatasetName
    batch_id: BatchId
    sequence: Count
    requested_at: Timestamp
    work: CrawlWork


class CrawlPlanned(Event):
    """One per dataset of a run. `dataset` is None only where the request was refused."""

    run_id: RunId
    dataset: DatasetName | None
    batches: Count
    rows: Count | None = None
    """How many records the source promised; None where it gave no number."""
    requested_at: Timestamp
    request: CrawlRequest
    produced_at: Timestamp


class Artifact(Part):
    uri: Text
    format: Annotated[str, StringConstraints(pattern=r"^[a-z0-9.]{1,32}$")]
    rows: Count
    bytes: Count
    sha256: Sha256
    schema_version: Annotated[int, Field(ge=1)] = 1


class Counts(Part):
    """Rows. A stage fills what it decides and leaves the rest at 0."""

    read: Count = 0
    accepted: Count = 0
    rejected: Count = 0
    deduplicated: Count = 0
    loaded: Count = 0
    superseded: Count = 0
    filtered: Count = 0
    """Lines of which the dataset's transform left no row."""
    added: Count = 0
    """Rows that the dataset's transform made of a line beyond its first."""


class MissingPage(Part):
    """A request for a page that finally failed: its records are not in the run."""

    url: Text
    reason: Text


class BatchManifest(Event):
    """What a stage made of a batch: the value of every `batch.*` event, and an object in staging."""

    run_id: RunId
    dataset: DatasetName
    batch_id: BatchId
    sequence: Count
    stage: Stage
    status: Literal["done", "dead"] = "done"
    reason: Reason | None = None
    detail: Text | None = None
    """The reason as a sentence. Of a crawled batch that is done: its warnings, one sentence per line."""
    requested_at: Timestamp
    first_position: Count = 0
    """`_source_position` of the batch's first record."""
    parent_batch_ids: Annotated[tuple[BatchId, ...], Field(max_length=MAX_LIST_ITEMS)] = ()
    artifacts: Annotated[tuple[Artifact, ...], Field(max_length=MAX_LIST_ITEMS)] = ()
    counts: Counts = Counts()
    missing: Annotated[tuple[MissingPage, ...], Field(max_length=MAX_LIST_ITEMS)] = ()
    next: CursorWork | None = None
    """Where the crawl goes on after this batch; None: this was the last, or the plan knows."""
    nulls: (
        Annotated[dict[ColumnName, Count], Field(max_length=MAX_LIST_ITEMS), AfterValidator(_sorted)] | None
    ) = None
    """Of a loaded batch's rows, how many are null in each column that the loader knows; None: not counted.

    In the order of names, so that a manifest reads the same wherever it was stored (a jsonb has its own order).
    """
    promised: Count | None = None
    """Of a crawled batch: the most records that an answer of the source promised for the whole dataset, the limit
    applied; None: no answer did."""
    repeated: Count = 0
    """Rows that came before in the same run, with the same content: of a processed batch's deduplicated ones, of a
    loaded batch's superseded ones."""
    rejected_by_reason: ReasonCounts = {}
    """Of the rejected rows, how many for which reason."""
    absent: Annotated[tuple[ColumnName, ...], Field(max_length=MAX_LIST_ITEMS)] = ()
    """Of a processed batch: columns whose field no record had, not even as null."""
    unnamed: Annotated[tuple[FieldName, ...], Field(max_length=MAX_UNNAMED_FIELDS)] = ()
    """Of a processed batch with absent columns: some fields of its records that no column is for."""
    columns_version: Annotated[int, Field(ge=1)] = 1
    """Of the dataset's columns, in the clean file of the batch: 1 is the dataset's file, later ones have more."""
    mark: Annotated[Text | None, Field(exclude_if=_is_nothing)] = None
    """Of a crawled batch: how far its records reach, by which the next run begins, as the crawler's own JSON."""
    cpu_ms: Count | None = None
    """CPU time that the stage had for the batch: the process's, shared among the batches in hand. None: not known."""
    produced_at: Timestamp
    code_version: Text

    def child(
        self,
        stage: Stage,
        *,
        counts: Counts,
        produced_at: datetime,
        code_version: str,
        status: Literal["done", "dead"] = "done",
        reason: Reason | None = None,
        detail: str | None = None,
        artifacts: tuple[Artifact, ...] = (),
        nulls: dict[str, int] | None = None,
        repeated: int = 0,
        rejected_by_reason: dict[str, int] | None = None,
        absent: tuple[str, ...] = (),
        unnamed: tuple[str, ...] = (),
        columns_version: int | None = None,
        cpu_ms: int | None = None,
    ) -> "BatchManifest":
        """What a later stage made of this batch: the same batch of the same run, with this as its parent."""
        return BatchManifest(
            run_id=self.run_id,
            dataset=self.dataset,
            batch_id=self.batch_id,
            sequence=self.sequence,
            stage=stage,
            status=status,
            reason=reason,
            detail=detail,
            requested_at=self.requested_at,
            first_position=self.first_position,
            parent_batch_ids=(self.batch_id,),
            artifacts=artifacts,
            counts=counts,
            nulls=nulls,
            repeated=repeated,
            rejected_by_reason=rejected_by_reason or {},
            absent=absent,
            unnamed=unnamed,
            columns_version=self.columns_version if columns_version is None else columns_version,
            cpu_ms=cpu_ms,
            produced_at=produced_at,
            code_version=code_version,
        )


class BatchUnreadable(Event):
    """Value of `batch.failed` for an undecodable record: its key alone names the batch."""

    batch_id: BatchId
    stage: Stage
    reason: Reason
    detail: Text


class RunSealed(Event):
    """Every batch of the run is processed or dead."""

    run_id: RunId
    requested_at: Timestamp
    batches: dict[DatasetName, Count]
    """Processed batches per dataset: what a consumer of `batch.processed` will have seen in the end."""


class RunDrained(Event):
    run_id: RunId
    requested_at: Timestamp


class ExportsCombineRequested(Event):
    """Combine the exports of a dataset of a run in one format. Its run has ended, or a batch came to it since."""

    run_id: RunId
    dataset: DatasetName
    format: Format


class ExportsCombined(Event):
    """What became of it. A later event of the same run, dataset and format replaces this one."""

    run_id: RunId
    dataset: DatasetName
    format: Format
    status: Literal["done", "failed"] = "done"
    detail: Text | None = None
    """Why it failed."""
    batches: Count = 0
    """Whose rows are in the files."""
    manifest: Text | None = None
    """The file in the lake that names the files; None where it failed."""
    files: Annotated[tuple[Artifact, ...], Field(max_length=MAX_COMBINED_FILES)] = ()
    produced_at: Timestamp


class DatasetSummary(Part):
    batches: Count = 0
    batches_dead: Count = 0
    rows_crawled: Count = 0
    rows_accepted: Count = 0
    rows_rejected: Count = 0
    rows_deduplicated: Count = 0
    rows_loaded: Count = 0
    rows_superseded: Count = 0
    rows_not_loaded: Count = 0
    rows_stored: Count = 0
    rows_not_stored: Count = 0
    rows_filtered: Count = 0
    rows_added: Count = 0
    rows_promised: Count | None = None
    """The most records that the source promised; None where it promised no number."""
    rejected_by_reason: ReasonCounts = {}
    objects_stored: Count = 0
    bytes_stored: Count = 0
    exports: dict[str, Count] = {}
    """Files per format."""


class CheckResult(Part):
    dataset: DatasetName
    name: Text
    severity: Severity
    passed: bool
    value: int | float | str | None
    expected: dict[str, int | float | str]


class DeadBatch(Part):
    dataset: DatasetName
    batch_id: BatchId
    stage: Stage
    reason: Text


class MissingRecords(Part):
    dataset: DatasetName
    url: Text
    reason: Text


class RunCompleted(Event):
    """Exactly one per run under `read_committed`; a snapshot of that moment."""

    run_id: RunId
    status: RunStatus
    reason: Text | None
    requested_at: Timestamp
    started_at: Timestamp
    finished_at: Timestamp
    datasets: dict[DatasetName, DatasetSummary]
    checks: tuple[CheckResult, ...] = ()
    dead: tuple[DeadBatch, ...] = ()
    missing: tuple[MissingRecords, ...] = ()
    warnings: tuple[Text, ...] = ()
    """What did not change the status and yet deserves a look, one sentence each."""
    from_stage: ReplayStage | None = None
    """Where a replay begins: the figures of the stages that it does not have are 0. None: every stage has run."""
