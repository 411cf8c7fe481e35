"""What is known of a row. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from shared.events.topology import Stage

State = Literal["current", "superseded", "not_loaded", "quarantined", "left_out"]
"""`current`: in the table. `superseded`: in the lake, and a newer row of its key is in the table. `not_loaded`: in the
lake only. `quarantined`: refused. `left_out`: crawled, and no row of its own: a later record of its batch has its key, or a
transform filtered it."""

STATE_TEXT: Mapping[State, str] = {
    "current": "in the table",
    "superseded": "a newer row of its key is in the table",
    "not_loaded": "in the lake and not in the table",
    "quarantined": "refused, and kept with the reason",
    "left_out": "crawled, and not kept: a later record of its batch has its key, or a transform filtered it",
}


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Which record of which batch a row was made of."""

    requested_at: datetime
    run_id: str
    position: int
    """Its place in the dataset's crawl, from 0."""
    batch_id: str


@dataclass(frozen=True, slots=True)
class LakeFile:
    uri: str
    row_group: int
    compaction: str | None
    """The name of the compaction that wrote it."""


@dataclass(frozen=True, slots=True)
class File:
    """A file that a stage's result names."""

    stage: Stage
    uri: str
    format: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ExportFile:
    uri: str
    format: str
    rows: int
    is_one_of: int = 1
    """Of a combination in several files: how many they are, one of which has the row."""


@dataclass(frozen=True, slots=True)
class StageResult:
    stage: Stage
    status: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Batch:
    batch_id: str
    run_id: str
    sequence: int
    stages: tuple[StageResult, ...]
    files: tuple[File, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """The HTTP request that brought a row."""

    url: str
    status: int | None
    fetched_at: str | None
    """When it was answered, ISO 8601."""
    etag: str | None
    answered_url: str | None
    """Where redirects led to; None where there were none."""
    detail: str | None
    took_ms: int | None = None
    tries: int | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What staging still has of a record."""

    request: Request | None = None
    raw: str | None = None
    """As it came; bytes that are not UTF-8 are spelt `\\xff`."""
    raw_uri: str | None = None
    line: int | None = None
    """Of the raw file, from 1."""
    crawled_by: str | None = None
    """The run that made the request: another one for a replay."""
    code_version: str | None = None
    """Of the crawler."""
    gone: str | None = None
    """Why something of it is not there."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Where and why a row was refused."""

    stage: str
    reason: str
    detail: str
    uri: str


@dataclass(frozen=True, slots=True)
class Run:
    run_id: str
    status: str
    requested_at: datetime
    requested_by: str | None
    replay_of: str | None
    superseded_by: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """One row with the key: where it is, and where it is from."""

    state: State
    origin: Origin
    loaded_at: datetime | None = None
    lake: tuple[LakeFile, ...] = ()
    exports: tuple[ExportFile, ...] = ()
    batch: Batch | None = None
    run: Run | None = None
    evidence: Evidence = Evidence()
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Searched:
    """How much was looked through."""

    lake_objects: int = 0
    lake_objects_left: int = 0
    quarantine_files: int = 0
    quarantine_files_left: int = 0
    unreadable: tuple[str, ...] = ()
    """Objects that are gone or damaged, each with the reason."""

    @property
    def is_complete(self) -> bool:
        return not (self.lake_objects_left or self.quarantine_files_left or self.unreadable)


@dataclass(frozen=True, slots=True)
class Trace:
    dataset: str
    table: str
    asked: str
    rows: tuple[Row, ...]
    """The newest first."""
    more: int = 0
    """Rows with the key beyond the limit."""
    searched: Searched = field(default_factory=Searched)
