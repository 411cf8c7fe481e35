"""The typed rows of a batch after its dataset's transform, and the raw lines that it leaves to quarantine."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from services.processor.domain.lines import Chunk, LongLine
from services.processor.domain.parse import Refused
from services.processor.domain.parse_schema import POSITION, parse_schema_of
from services.processor.domain.readers.json_text import is_canonical
from services.processor.domain.room import MAX_ROW_BYTES, RowRoom
from shared.datasets.arrow import data_schema
from shared.datasets.model import Dataset
from shared.errors import PermanentError, TransientError
from shared.events.models import BatchManifest
from shared.reasons import Reason
from shared.transforms.apply import Transformer
from shared.transforms.errors import ResultError, StepError, SystemLackError
from shared.transforms.frames import read_positions
from shared.transforms.result import Refusal, Transformed, finish
from shared.transforms.stored_forms import misfits

ROWS = "rows.arrow"
TRANSFORMED_ROWS = "transformed.arrow"


def transform_rows(
    folder: Path, batch: BatchManifest, dataset: Dataset, transformer: Transformer
) -> Transformed:
    """The rows of `ROWS` to `TRANSFORMED_ROWS`, with the columns that are stored.

    Raises `PermanentError` (`transform`) where the transform is to blame, `TransientError` where the machine is.
    """
    given = folder / ROWS
    is_empty = len(read_positions(given)) == 0
    stored = _Stored(dataset, batch)
    schema = data_schema(dataset).append(POSITION)
    try:
        if is_empty:
            with pa.OSFile(str(folder / TRANSFORMED_ROWS), "wb") as sink, pa.ipc.new_file(sink, schema):
                return Transformed()
        last = transformer.run(dataset.transform, given, folder, schema.names)
        target = folder / TRANSFORMED_ROWS
        return finish(given, last, target, schema, dataset.key, stored.refusals, dataset.added)
    except (StepError, ResultError) as error:
        raise PermanentError(Reason.TRANSFORM, str(error)) from error
    except SystemLackError as error:
        raise TransientError(str(error)) from error


class _Stored:
    """Refuses rows that a table cannot hold, and values that are not of their column's type."""

    def __init__(self, dataset: Dataset, batch: BatchManifest) -> None:
        stored = parse_schema_of(dataset.model_copy(update={"transform": ()}))
        self._room = RowRoom(stored.targets, batch.run_id, batch.batch_id)
        self._kinds = {column.name: column.value_type for column in dataset.columns}

    def refusals(self, rows: pa.RecordBatch) -> list[Refusal]:
        wide = [
            (
                row.place,
                Reason.TOO_LARGE,
                f"its {row.filled} filled columns take {row.bytes} bytes in PostgreSQL, a row holds {MAX_ROW_BYTES}",
            )
            for row in self._room.too_wide(rows)
        ]
        return [*misfits(rows, self._kinds, is_canonical), *wide]


def raw_lines(
    pieces: Iterable[Chunk | LongLine], transformed: Transformed, first_position: int
) -> Iterator[Refused]:
    """The lines whose rows were refused, in their order."""
    wanted = {position - first_position: why for position, why in transformed.refused.items()}
    for piece in pieces:
        if isinstance(piece, LongLine):
            continue
        here = sorted(wanted.keys() & set(range(piece.first_line, piece.first_line + piece.lines)))
        lines = piece.data.split(b"\n") if here else []
        for line in here:
            reason, detail = wanted[line]
            yield Refused(line, reason, detail, lines[line - piece.first_line])
