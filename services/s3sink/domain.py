"""Which batches go into which object, and the result of a stored batch. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.events.ids import derive
from shared.events.models import Artifact, BatchManifest, Counts

UNKNOWN_RATIO = 0.5
"""Bytes in the lake (zstd, long row groups) per byte of clean Parquet (snappy), before a dataset's own is known."""

RATIO_BOUNDS = (0.1, 1.5)
"""A measured ratio outside these comes from tiny objects, not from the data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When an object is full: bytes in the lake, or rows; and how long a batch waits for that.

    Rows that pack well would else all be written at a run's end, while nothing else is left to do.
    """

    target_bytes: int
    most_bytes: int
    age_s: float
    target_rows: int


@dataclass(frozen=True, slots=True)
class Pending:
    """A batch that waits for an object."""

    batch_id: str
    clean_bytes: int
    is_old: bool
    rows: int = 0


@dataclass(frozen=True, slots=True)
class LakeFile:
    """A file of the lake that is durable."""

    uri: str
    rows: int
    bytes: int
    sha256: str
    batch_ids: frozenset[str]
    """Of the batches that have rows in it."""


@dataclass(frozen=True, slots=True)
class LakeObject:
    """What an assignment became: one file, or one for each folder of the dataset's own partitions."""

    files: tuple[LakeFile, ...]
    written_at: datetime

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


def pack_objects(
    pending: Sequence[Pending], limits: Limits, *, ratio: float | None, is_complete: bool
) -> list[list[Pending]]:
    """The objects that can be written now, of batches in the order of their sequence.

    An object is closed when it is expected to reach a target, or when one batch more would take it above the
    most; a batch above the most is an object of its own. What is left waits, unless the run's batches are all
    here or one of them has waited too long. `ratio` None: none of the dataset's objects is known.
    """
    low, high = RATIO_BOUNDS
    share = UNKNOWN_RATIO if ratio is None else min(max(ratio, low), high)
    # As long as the ratio is a guess, the input alone keeps an object below the most.
    worst = max(share, 1.0) if ratio is None else share
    objects: list[list[Pending]] = []
    current: list[Pending] = []
    size = rows = 0
    for batch in pending:
        if current and (size + batch.clean_bytes) * worst > limits.most_bytes:
            objects.append(current)
            current, size, rows = [], 0, 0
        current.append(batch)
        size, rows = size + batch.clean_bytes, rows + batch.rows
        if size * share >= limits.target_bytes or rows >= limits.target_rows:
            objects.append(current)
            current, size, rows = [], 0, 0
    if current and (is_complete or any(batch.is_old for batch in pending)):
        objects.append(current)
    return objects


def object_name(run_id: str, dataset: str, batch_ids: Sequence[str]) -> str:
    """Derived from what is in it: the same assignment is the same object, whichever replica writes it."""
    return derive(run_id, dataset, *batch_ids)


def strip_for_storage(batch: BatchManifest, clean: Artifact) -> BatchManifest:
    """What the sink needs of a processed batch later, without its free text."""
    return batch.model_copy(update={"artifacts": (clean,), "missing": (), "next": None, "detail": None})


def stored(batch: BatchManifest, lake: LakeObject | None, *, code_version: str) -> BatchManifest:
    """The sink's result: the files with rows of the batch, or none where the batch has no rows."""
    rows = batch.counts.accepted
    artifacts: tuple[Artifact, ...] = ()
    if lake is not None:
        [clean] = batch.artifacts
        artifacts = tuple(
            Artifact(
                uri=file.uri,
                format="parquet",
                rows=file.rows,
                bytes=file.bytes,
                sha256=file.sha256,
                schema_version=clean.schema_version,
            )
            for file in lake.files
            if batch.batch_id in file.batch_ids
        )
    return batch.child(
        "s3sink",
        artifacts=artifacts,
        counts=Counts(read=rows, accepted=rows),
        produced_at=batch.produced_at if lake is None else lake.written_at,
        code_version=code_version,
    )
