"""The profile of a dataset's rows in the lake: of a run, or of all runs that the lake lists."""

import io
import json
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from console.profile.sketch import ColumnSketch
from shared.datasets.lineage import LINEAGE
from shared.errors import PermanentError
from shared.reasons import Reason
from shared.storage import keys
from shared.storage.object_store import ObjectStore

PIECE_ROWS = 16_384
"""Rows decoded at a time."""

_OF_PIPELINE = frozenset(column.name for column in LINEAGE)


@dataclass(slots=True)
class Profile:
    """Columns in the order in which files bring them; those of the pipeline are left out."""

    dataset: str
    run_id: str | None
    rows: int = 0
    objects: int = 0
    columns: dict[str, ColumnSketch] = field(default_factory=dict)

    def add(self, piece: pa.RecordBatch, seed: int) -> None:
        """A piece of a file; each has a seed of its own, by which its rows are chosen for the samples."""
        priorities = pl.int_range(piece.num_rows, eager=True).hash(seed)
        for column in piece.schema:
            if column.name not in _OF_PIPELINE:
                sketch = self._sketch(column.name, str(column.type))
                sketch.add(pl.Series(column.name, piece.column(column.name)), priorities)
        self._grow(piece.num_rows)

    def merge(self, other: "Profile") -> None:
        for theirs in other.columns.values():
            self._sketch(theirs.name, theirs.type).merge(theirs)
        self.objects += other.objects
        self._grow(other.rows)

    def _sketch(self, name: str, kind: str) -> ColumnSketch:
        """A column that changed its type has a sketch for each."""
        known = self.columns.get(name)
        key = name if known is None or known.type == kind else f"{name} ({kind})"
        return self.columns.setdefault(key, ColumnSketch(name, kind, self.rows, self.rows))

    def _grow(self, rows: int) -> None:
        """A column that a file lacks is null in its rows."""
        self.rows += rows
        for sketch in self.columns.values():
            missing = self.rows - sketch.rows
            sketch.rows += missing
            sketch.nulls += missing


async def profile(lake: ObjectStore, dataset: str, run_id: str | None) -> Profile:
    """Memory is one object of the lake, and some thousand values of each column.

    Raises `PermanentError` (`object_missing`) for a run that the lake does not list, and `StorageUnavailableError`.
    """
    found = Profile(dataset, run_id)
    async for uri, only_run in objects(lake, dataset, run_id):
        found.merge(await profile_object(lake, dataset, uri, only_run))
    return found


async def profile_object(lake: ObjectStore, dataset: str, uri: str, only_run: str | None = None) -> Profile:
    """Of one object, or of its rows of one run.

    Raises `PermanentError` (`object_missing`) where it is gone, and `StorageUnavailableError`.
    """
    data = await lake.get(lake.key(uri, f"{dataset}/"))
    if data is None:
        raise PermanentError(Reason.OBJECT_MISSING, f"{uri} is listed and not there")
    found = Profile(dataset, None, objects=1)
    with pq.ParquetFile(io.BytesIO(data)) as file:
        for number, piece in enumerate(file.iter_batches(PIECE_ROWS)):
            rows = (
                piece
                if only_run is None
                else piece.filter(pc.equal(piece.column("_run_id"), pa.scalar(only_run)))
            )
            found.add(rows, zlib.crc32(f"{uri} {number}".encode()))
    return found


async def objects(
    lake: ObjectStore, dataset: str, run_id: str | None
) -> AsyncIterator[tuple[str, str | None]]:
    """Each object once, with the run whose rows alone are meant, if it has others: a compaction made it."""
    shared: set[str] = set()
    listings = [keys.listing_key(run_id)] if run_id else [info.key async for info in lake.list("_runs/")]
    for key in sorted(listings):
        listing = await lake.get(key)
        if listing is None:
            raise PermanentError(Reason.OBJECT_MISSING, f"the lake has no listing of run {run_id}")
        for entry in json.loads(listing)["datasets"].get(dataset, {}).get("objects", ()):
            uri, is_shared = entry["uri"], "where" in entry
            if run_id is not None or uri not in shared:
                yield uri, run_id if is_shared else None
            if is_shared:
                shared.add(uri)
