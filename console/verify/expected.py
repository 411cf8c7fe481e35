"""What must have arrived in a table: every accepted record of every batch, as keys, places and digests of rows.

Which rows those are is known from the best evidence that is left: the source, else the Parquet that the processor
staged, else the lake.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from console.verify.database import AuditRows, Result, Run
from console.verify.findings import Findings
from console.verify.forms import Form, Forms, digest, in_form
from console.verify.source import SourceRecords, parse, rows_of
from console.verify.staging import Documents
from shared.datasets.model import Dataset
from shared.datasets.types import FLOATS
from shared.datasets.versions import FILE
from shared.transforms.apply import Transformer

INDEX: Mapping[str, Any] = {
    "_run": pl.UInt32(),
    "_batch": pl.UInt32(),
    "_source_position": pl.Int64(),
    "_row": pl.UInt64(),
}
"""Number of the run in the order of requests, number of the batch, place in the source, digest of the row."""


@dataclass(slots=True)
class Batch:
    """A batch that was processed."""

    number: int
    run: Run
    run_number: int
    processed: Result
    form: Form
    read_by: Dataset
    """With the columns of the batch's version, by which its records were read. Those of `form` are the newest."""
    version: int
    source: SourceRecords | None
    first_position: int
    page_size: int
    stages: frozenset[str]
    """Those that are done with it."""
    rejected: frozenset[int] = frozenset()
    """Places of refused lines, from the batch's first."""
    refused_after: Mapping[int, str] = field(default_factory=dict)
    """Of those, the ones that became rows and were refused after the transform, with the reason."""
    gaps: tuple[tuple[int, int], ...] = ()
    """Line, and records of the source that are passed over from it on, for a page that is missing."""
    unloaded: frozenset[int] = frozenset()
    """Positions of rows that PostgreSQL refused."""
    unloaded_unknown: int = 0
    """Rows that PostgreSQL refused, where it is no longer known which."""
    has_rows: bool = False
    """Whether its rows are in the index."""

    @property
    def floats(self) -> tuple[tuple[str, str], ...]:
        """Columns that are texts now, and were floats of a type for this batch."""
        now = {column.name: column for column in self.form.dataset.columns}
        return tuple(
            (column.name, column.type)
            for column in self.read_by.columns
            if column.type in FLOATS and column.name in now and now[column.name].from_any
        )

    def record(self, line: int) -> str:
        """The name of a line's record in findings."""
        return f"{self.read_by.name} record {self.first_position + line} of {self.run.run_id}"

    def source_index(self, line: int) -> int:
        """Of the line's record in the source."""
        return self.first_position + line + sum(records for place, records in self.gaps if place <= line)


@dataclass(slots=True)
class Expected:
    """Of one table, whichever datasets were loaded into it."""

    forms: Forms
    key: tuple[str, ...]
    key_types: Mapping[str, Any]
    transformer: Transformer = field(default_factory=Transformer)
    batches: dict[str, Batch] = field(default_factory=dict)
    pieces: list[pl.DataFrame] = field(default_factory=list)
    index: pl.DataFrame = field(init=False)
    """The table's key and `INDEX`, one row per accepted record of which there is evidence."""
    _numbered: list[Batch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.index = pl.DataFrame(schema={**self.key_types, **INDEX})

    def add(self, batch: Batch) -> None:
        self.batches[batch.processed.batch_id] = batch
        self._numbered.append(batch)

    def batch(self, number: int) -> Batch:
        return self._numbered[number]

    @property
    def place(self) -> list[str]:
        """The columns that tell rows of a run apart: a transform may make several rows of a line."""
        has_added = any(batch.processed["added"] for batch in self.batches.values())
        return ["_source_position", *(self.key if has_added else ())]

    def close(self) -> None:
        """Moves the rows that were added into the index. Not thread-safe."""
        self.index = pl.concat([self.index, *self.pieces])
        self.pieces = []

    def add_rows(self, batch: Batch, rows: pl.DataFrame) -> None:
        """Adds the rows that must be there of the batch, with the lineage that they must have."""
        whole = with_lineage(in_form(rows, batch.form), batch, rows["_source_position"])
        self.pieces.append(
            whole.select(
                *(pl.col(name).cast(dtype) for name, dtype in self.key_types.items()),
                pl.lit(batch.run_number, pl.UInt32).alias("_run"),
                pl.lit(batch.number, pl.UInt32).alias("_batch"),
                "_source_position",
            ).with_columns(digest(whole, batch.form, batch.floats))
        )
        batch.has_rows = True

    def row(self, batch: Batch, position: int) -> dict[str, Any] | None:
        """The row that must be there, in full; None without a source, and where a transform made it."""
        if batch.source is None or batch.read_by.transform:
            return None
        place = batch.source_index(position - batch.first_position)
        if place >= len(batch.source):
            return None
        frame = in_form(rows_of(batch.read_by, [parse(batch.source[place])]), batch.form)
        whole = with_lineage(frame, batch, pl.Series([position])).row(0, named=True)
        return {name: value for name, value in whole.items() if name in batch.form.compared or name[0] == "_"}


def with_lineage(frame: pl.DataFrame, batch: Batch, positions: pl.Series) -> pl.DataFrame:
    """The rows with the lineage columns; `positions` become `_source_position`."""
    return frame.with_columns(
        pl.lit(batch.run.run_id).alias("_run_id"),
        pl.lit(batch.processed.batch_id).alias("_batch_id"),
        pl.lit(batch.run.requested_at)
        .dt.convert_time_zone("UTC")
        .dt.cast_time_unit("us")
        .alias("_requested_at"),
        positions.cast(pl.Int64).alias("_source_position"),
    )


def gather(
    forms: Forms,
    files: Mapping[tuple[str, str], tuple[Dataset, bool]],
    key: Sequence[str],
    key_types: Mapping[str, Any],
    sources: Mapping[str, SourceRecords],
    audit: AuditRows,
    documents: Documents,
) -> Expected:
    """The processed batches of a table; their rows are added later.

    `files`: for each run and dataset of the table its file, and whether that is the file of that time.
    """
    expected = Expected(forms, tuple(key), key_types)
    numbers = {
        run.run_id: number for number, run in enumerate(sorted(audit.runs.values(), key=lambda r: r.order))
    }
    done: dict[str, set[str]] = {}
    for result in audit.results:
        if result.status == "done":
            done.setdefault(result.batch_id, set()).add(result.stage)
    by_file: dict[int, Form] = {}
    by_version: dict[tuple[int, int], Dataset] = {}
    for result in sorted(audit.results, key=lambda r: (numbers[r.run_id], r.sequence)):
        found = files.get((result.run_id, result.dataset))
        if found is None or (result.stage, result.status) != ("processor", "done"):
            continue
        dataset, is_certain = found
        if id(dataset) not in by_file:
            newest = documents.newest(dataset)
            by_file[id(dataset)] = forms.of_file(newest, is_certain=is_certain)
        manifest = documents.manifests.get((result.batch_id, "processor"))
        version = FILE if manifest is None else manifest.columns_version
        if (id(dataset), version) not in by_version:
            by_version[id(dataset), version] = documents.columns_at(dataset, version)
        expected.add(
            Batch(
                number=len(expected.batches),
                run=audit.runs[result.run_id],
                run_number=numbers[result.run_id],
                processed=result,
                form=by_file[id(dataset)],
                read_by=by_version[id(dataset), version],
                version=version,
                source=sources.get(result.dataset),
                first_position=_first_position(result, documents),
                page_size=documents.page_size(result.run_id, result.dataset),
                stages=frozenset(done[result.batch_id]),
            )
        )
    return expected


def _first_position(result: Result, documents: Documents) -> int:
    for stage in ("crawler", "processor"):
        manifest = documents.manifests.get((result.batch_id, stage))
        if manifest is not None:
            return manifest.first_position
    return 0


def require_deduplicated(batch: Batch, unique: int, accepted: int, findings: Findings) -> None:
    """What the source gives, and the batch's own counts."""
    processed = batch.processed
    findings.require(
        "I1",
        (unique, accepted - unique) == (processed["accepted"], processed["deduplicated"]),
        processed.name,
        f"the source gives {unique} records and {accepted - unique} duplicates, the processor counts "
        f"{processed['accepted']} and {processed['deduplicated']}",
    )
