"""Files with the rows of a dataset into one: columns by name, rows in the order of the files."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shared.datasets.lineage import LINEAGE_NAMES
from shared.datasets.model import Dataset
from shared.errors import TransientError
from shared.lake.errors import DifferentColumnsError, unusable
from shared.parquet.lake_file import open_lake_file
from shared.parquet.reader import pieces_of

READ_ROWS = 65_536
"""Rows decoded at a time."""

Keep = Callable[[int, pa.RecordBatch, int], pa.RecordBatch]
"""The rows of a piece that stay, by the file's place and the piece's first row in it."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A downloaded source."""

    uri: str
    path: Path
    rows: int


def union_schema(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Every column of any of them, in the order in which they come, the lineage last. Needed where all need it.

    Raises `DifferentColumnsError` where a column has two types.
    """
    fields: dict[str, pa.Field[Any]] = {}
    for schema in schemas:
        for field in schema:
            known = fields.setdefault(field.name, field)
            if known.type != field.type:
                raise DifferentColumnsError(field.name, _compatible(schemas))
    optional = {
        name
        for name in fields
        if any(name not in schema.names or schema.field(name).nullable for schema in schemas)
    }
    ordered = [*(name for name in fields if name not in LINEAGE_NAMES), *LINEAGE_NAMES]
    return pa.schema([fields[name].with_nullable(name in optional) for name in ordered])


def _compatible(schemas: Sequence[pa.Schema]) -> list[list[int]]:
    """Places of schemas that go together: each joins the first group with which it agrees."""
    groups: list[tuple[dict[str, pa.DataType], list[int]]] = []
    for place, schema in enumerate(schemas):
        types = {field.name: field.type for field in schema}
        for known, places in groups:
            if all(known.get(name, kind) == kind for name, kind in types.items()):
                known.update(types)
                places.append(place)
                break
        else:
            groups.append((types, [place]))
    return [places for _, places in groups]


def read_schemas(sources: Sequence[SourceFile]) -> list[pa.Schema]:
    """Raises `SourceUnusableError` for a file that is not Parquet, has no lineage, or other rows than it should."""
    schemas = []
    for source in sources:
        with _open(source) as parquet:
            schema = parquet.schema_arrow.remove_metadata()
            if missing := [name for name in LINEAGE_NAMES if name not in schema.names]:
                raise unusable(source.uri, ValueError(f"it has no column {', '.join(missing)}"))
            if parquet.metadata.num_rows != source.rows:
                found = parquet.metadata.num_rows
                raise unusable(source.uri, ValueError(f"it has {found} rows, the database has {source.rows}"))
            schemas.append(schema)
    return schemas


def merge_files(
    sources: Sequence[SourceFile], target: Path, dataset: Dataset, keep: Keep | None = None
) -> int:
    """Writes their rows as one file of the lake; returns how many. Memory is a row group, decoded and encoded.

    Raises as `union_schema` and `read_schemas`, and `TransientError` where the disk is full.
    """
    schema = union_schema(read_schemas(sources))
    lake = open_lake_file(target, dataset, {"dataset": dataset.name}, schema)
    try:
        for place, source in enumerate(sources):
            first = 0
            for piece in _pieces(source):
                lake.append(piece if keep is None else keep(place, piece, first))
                first += piece.num_rows
        return lake.finish()
    except OSError as error:
        raise TransientError(f"the scratch folder: {error}"[:500]) from error
    finally:
        lake.abandon()


def _pieces(source: SourceFile) -> Iterator[pa.RecordBatch]:
    with _open(source) as parquet:
        pieces = pieces_of(parquet, READ_ROWS)
        while True:
            try:
                piece = next(pieces, None)
            except (pa.ArrowInvalid, OSError) as error:
                raise unusable(source.uri, error) from error
            if piece is None:
                return
            yield piece


def _open(source: SourceFile) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(source.path)
    except (pa.ArrowInvalid, OSError) as error:
        raise unusable(source.uri, error) from error
