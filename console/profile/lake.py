"""The profile of a dataset's rows in the lake: of a run, or of all runs that the lake lists."""

import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa
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

    def add(self, piece: pa.RecordBatch) -> None:
        """A piece of a file. A column that a file lacks is null in its rows."""
        seed = hash((self.objects, self.rows)) & 0xFFFF_FFFF
        priorities = pl.int_range(piece.num_rows, eager=True).hash(seed)
        for column in piece.schema:
            if column.name not in _OF_PIPELINE and column.name not in self.columns:
                self.columns[column.name] = ColumnSketch(column.name, str(column.type), self.rows, self.rows)
        for name, sketch in self.columns.items():
            if name in piece.schema.names:
                sketch.add(pl.Series(name, piece.column(name)), priorities)
            else:
                sketch.rows += piece.num_rows
                sketch.nulls += piece.num_rows
        self.rows += piece.num_rows


async def profile(lake: ObjectStore, dataset: str, run_id: str | None) -> Profile:
    """Memory is one object of the lake, and some thousand values of each column.

    Raises `PermanentError` (`object_missing`) for a run that the lake does not list, and `StorageUnavailableError`.
    """
    found = Profile(dataset, run_id)
    async for uri in _objects(lake, dataset, run_id):
        data = await lake.get(lake.key(uri, f"{dataset}/"))
        if data is None:
            raise PermanentError(Reason.OBJECT_MISSING, f"{uri} is listed and not there")
        found.objects += 1
        with pq.ParquetFile(io.BytesIO(data)) as file:
            for piece in file.iter_batches(PIECE_ROWS):
                found.add(piece)
    return found


async def _objects(lake: ObjectStore, dataset: str, run_id: str | None) -> AsyncIterator[str]:
    """Each object once: a listing names exactly those of its run."""
    listings = [keys.listing_key(run_id)] if run_id else [info.key async for info in lake.list("_runs/")]
    for key in sorted(listings):
        listing = await lake.get(key)
        if listing is None:
            raise PermanentError(Reason.OBJECT_MISSING, f"the lake has no listing of run {run_id}")
        for entry in json.loads(listing)["datasets"].get(dataset, {}).get("objects", ()):
            yield entry["uri"]
