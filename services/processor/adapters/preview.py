"""What would become of some lines by a dataset's file, without a result of it anywhere."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from services.processor.adapters.stored_rows import RowBuffer
from services.processor.adapters.transformed_rows import ROWS, TRANSFORMED_ROWS, transform_rows
from services.processor.domain.lines import Chunk, cut_lines
from services.processor.domain.parse import Watch, parse_chunk
from services.processor.domain.parse_schema import POSITION, parse_schema_of
from shared.datasets.model import Dataset
from shared.events.models import BatchManifest
from shared.transforms.apply import Transformer
from shared.transforms.frames import read_pieces


@dataclass(slots=True)
class PreviewedLine:
    """A line and what it becomes: nothing where it is filtered."""

    position: int
    raw: bytes
    typed: dict[str, Any] | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    """As they would be stored; rows of one key are all there."""
    reason: str | None = None
    detail: str | None = None


def preview_lines(
    folder: Path, batch: BatchManifest, dataset: Dataset, lines: Sequence[bytes], transformer: Transformer
) -> list[PreviewedLine]:
    """The first lines of a batch, by a dataset's file. `folder` is a scratch folder.

    Raises `PermanentError` (`transform`) where the transform fails, `TransientError` where the machine does.
    """
    first = batch.first_position
    found = [PreviewedLine(first + number, line) for number, line in enumerate(lines)]
    schema = parse_schema_of(dataset)
    watch = Watch(schema, batch.run_id, batch.batch_id, are_stored=not dataset.transform)
    with RowBuffer(folder / ROWS, schema.schema) as store:
        for piece in cut_lines([b"".join(line + b"\n" for line in lines)]):
            if not isinstance(piece, Chunk):
                continue
            for parsed in parse_chunk(piece, first, schema, watch):
                store.add(parsed.rows)
                for refused in parsed.refused:
                    line = found[refused.line]
                    line.reason, line.detail = refused.reason.value, refused.detail
    for position, row in _rows(folder / ROWS):
        found[position - first].typed = row
    stored = folder / ROWS
    if dataset.transform:
        stored = folder / TRANSFORMED_ROWS
        for position, (reason, detail) in transform_rows(folder, batch, dataset, transformer).refused.items():
            line = found[position - first]
            line.reason, line.detail = reason.value, detail
    for position, row in _rows(stored):
        found[position - first].rows.append(row)
    return found


def _rows(file: Path) -> list[tuple[int, dict[str, Any]]]:
    pieces: list[pa.RecordBatch] = list(read_pieces(file))
    rows = [row for piece in pieces for row in piece.to_pylist()]
    return [(row.pop(POSITION.name), row) for row in rows]
