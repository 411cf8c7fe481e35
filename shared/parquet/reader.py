"""The clean Parquet of a processed batch, as the stages after the processor read it."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shared.datasets.arrow import LINEAGE_FIELDS, clean_schema
from shared.datasets.model import Dataset
from shared.errors import PermanentError, TransientError
from shared.events.models import Artifact, BatchManifest
from shared.reasons import Reason

PIECE_BYTES = 16 * 2**20
"""Of wide rows that are decoded together: they are there once more in what is made of them."""


def clean_artifact(batch: BatchManifest) -> Artifact:
    """The manifest's Parquet. Raises `PermanentError` (`schema`) unless it is a processor's, done, that names one."""
    if batch.stage != "processor" or batch.status != "done":
        raise PermanentError(
            Reason.SCHEMA, f"a processed batch is expected, not {batch.stage}/{batch.status}"
        )
    found = [artifact for artifact in batch.artifacts if artifact.format == "parquet"]
    if len(found) != 1:
        raise PermanentError(Reason.SCHEMA, f"one parquet artifact is expected, not {len(found)}")
    return found[0]


def open_clean(file: Path, dataset: Dataset, artifact: Artifact) -> pq.ParquetFile:
    """The downloaded artifact, its footer checked against the dataset and the manifest. Close it.

    A nullable column may be missing: the batch was processed before the dataset's file gained it. Raises
    `PermanentError` (`schema`) for any other difference, and for a file that is not Parquet.
    """
    with _translated(artifact):
        parquet = pq.ParquetFile(file)
    try:
        _check(parquet, dataset, artifact)
    except PermanentError:
        parquet.close()
        raise
    return parquet


def read_clean(
    parquet: pq.ParquetFile,
    artifact: Artifact,
    rows: int,
    columns: list[str] | None = None,
    groups: list[int] | None = None,
) -> Iterator[pa.RecordBatch]:
    """As `pieces_of`. Raises `PermanentError` (`schema`) where the file cannot be decoded."""
    with _translated(artifact):
        yield from pieces_of(parquet, rows, columns, groups)


def pieces_of(
    parquet: pq.ParquetFile, rows: int, columns: list[str] | None = None, groups: list[int] | None = None
) -> Iterator[pa.RecordBatch]:
    """The file, or some of its columns or row groups, in pieces of at most `rows` rows.

    A piece is of one row group, and of about `PIECE_BYTES` where its rows are wide: one row at least, and a row
    group's bytes at most.
    """
    for group in range(parquet.num_row_groups) if groups is None else groups:
        at_once = _rows_at_once(parquet.metadata.row_group(group), rows, columns)
        yield from parquet.iter_batches(at_once, columns=columns, row_groups=[group])


def _rows_at_once(group: Any, rows: int, columns: Collection[str] | None) -> int:
    leaves = [group.column(place) for place in range(group.num_columns)]
    size: int = sum(
        leaf.total_uncompressed_size
        for leaf in leaves
        if columns is None or leaf.path_in_schema.partition(".")[0] in columns
    )
    found: int = PIECE_BYTES * group.num_rows // max(size, 1)
    return max(1, min(rows, found))


@contextmanager
def _translated(artifact: Artifact) -> Iterator[None]:
    """Arrow's errors about the file's content; what the system refused (it has an errno) is an outage."""
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise TransientError(f"the scratch folder: {error}"[:500]) from error
        raise PermanentError(Reason.SCHEMA, f"{artifact.uri} cannot be decoded: {error}"[:500]) from error


def _check(parquet: pq.ParquetFile, dataset: Dataset, artifact: Artifact) -> None:
    expected, found = clean_schema(dataset), parquet.schema_arrow
    if parquet.metadata.num_rows != artifact.rows:
        raise PermanentError(
            Reason.SCHEMA,
            f"{artifact.uri} has {parquet.metadata.num_rows} rows, its manifest gives {artifact.rows}",
        )
    if len(set(found.names)) < len(found.names):
        raise PermanentError(Reason.SCHEMA, f"{artifact.uri}: a column is there twice")
    needed = {*dataset.key, *(field.name for field in LINEAGE_FIELDS)}
    if missing := sorted(needed - set(found.names)):
        raise PermanentError(Reason.SCHEMA, f"{artifact.uri}: no column {', '.join(missing)}")
    for field in found:
        place = expected.get_field_index(field.name)
        if place < 0:
            raise PermanentError(
                Reason.SCHEMA, f"{artifact.uri}: column {field.name} is not in {dataset.name}"
            )
        if field.type != expected.field(place).type:
            raise PermanentError(
                Reason.SCHEMA,
                f"{artifact.uri}: {field.name} is {field.type}, {dataset.name} declares {expected.field(place).type}",
            )
