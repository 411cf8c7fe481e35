"""The clean Parquet of the batches of an object, on this machine."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from services.s3sink.adapters.arrange import BATCH, ROW, Arrangement, arrange, as_they_came, numbered
from services.s3sink.adapters.spool import Spool
from services.s3sink.errors import BatchUnusableError
from shared.datasets.arrow import clean_schema
from shared.datasets.model import Dataset
from shared.errors import PermanentError
from shared.events.models import Artifact, BatchManifest
from shared.parquet.columns import align
from shared.parquet.lake_file import READ_ROWS
from shared.parquet.reader import open_clean, read_clean


@dataclass(frozen=True, slots=True)
class Clean:
    """That of one batch."""

    batch: BatchManifest
    artifact: Artifact
    dataset: Dataset
    path: Path

    def read(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """In pieces, without columns that the file lacks. Raises `BatchUnusableError` where it cannot be decoded."""
        try:
            with open_clean(self.path, self.dataset, self.artifact) as parquet:
                yield from read_clean(parquet, self.artifact, READ_ROWS, _there(parquet, columns))
        except PermanentError as error:
            raise BatchUnusableError(self.batch, error) from error


def _there(parquet: pq.ParquetFile, columns: Sequence[str] | None) -> list[str] | None:
    names = set(parquet.schema_arrow.names)
    return None if columns is None else [name for name in columns if name in names]


def arranged(clean: Sequence[Clean], dataset: Dataset) -> Arrangement:
    """Memory is that of the columns that partition and sort. Raises `BatchUnusableError` and `TooManyFilesError`."""
    names = list(dict.fromkeys((*dataset.lake.partition_columns, *dataset.lake_order)))
    if not names:
        return as_they_came(range(len(clean)), sum(each.artifact.rows for each in clean))
    schema = pa.schema([clean_schema(dataset).field(name) for name in names])
    tables, first = [], 0
    for place, each in enumerate(clean):
        pieces = [align(piece, schema) for piece in each.read(names)]
        table = pa.concat_tables([schema.empty_table(), *pieces])
        numbers = numbered(table.num_rows, first)
        batch = pa.repeat(pa.scalar(place, pa.int32()), table.num_rows)
        tables.append(table.append_column(BATCH, batch).append_column(ROW, numbers))
        first += table.num_rows
    return arrange(pa.concat_tables(tables), dataset.lake, dataset.lake_order)


def fill(spool: Spool, clean: Sequence[Clean]) -> None:
    """All rows of all batches, as they came."""
    for each in clean:
        for piece in each.read():
            spool.append(piece)
