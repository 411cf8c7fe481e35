"""The rows of a batch after its dataset's transform: the same steps, on rows that were read from the source here."""

import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from console.client.errors import ClientError
from console.verify.expected import Batch
from console.verify.findings import Findings
from console.verify.values import is_canonical
from shared.datasets.arrow import data_schema
from shared.datasets.model import Dataset
from shared.datasets.transform import POSITION
from shared.transforms.apply import Transformer
from shared.transforms.errors import ResultError, StepError, SystemLackError
from shared.transforms.frames import PIECE_ROWS, position_field, read_pieces, schema_of, write_pieces
from shared.transforms.python_code import is_here
from shared.transforms.result import Transformed, finish
from shared.transforms.stored_forms import misfits

NO_SECRET = "ONPOINT_MASK_SECRET is not set here, so its rows are compared with what was staged"  # noqa: S105 - a sentence
NO_CODE = "{} is not installed here as its run had it, so its rows are compared with what was staged"
WIDTH = "too_large"
"""How much room a row takes is not measured here."""


def lack_of(dataset: Dataset, transformer: Transformer) -> str | None:
    """What of the steps' needs this installation has not, and what follows."""
    for step in dataset.transform:
        if transformer.secret is None and any(mask.how == "hash" for mask in step.mask or ()):
            return NO_SECRET
        if step.python is not None and not is_here(step.python, step.code):
            return NO_CODE.format(step.python)
    return None


def transformed_rows(
    batch: Batch, typed: pl.DataFrame, transformer: Transformer, findings: Findings
) -> pl.DataFrame | None:
    """The rows that the transform gives for the typed ones, and the books of it; None: it gives no rows here."""
    dataset, name = batch.read_by, batch.processed.name
    try:
        rows, became = _run(dataset, typed, transformer)
    except (StepError, ResultError) as error:
        findings.add("I1", name, f"it was transformed, and here it cannot be: {error}")
        return None
    except SystemLackError as error:
        raise ClientError(f"the transform of {name} cannot be run here: {error}") from error
    first = batch.first_position
    unmeasured = {place for place, reason in batch.refused_after.items() if reason == WIDTH}
    refused = {position - first for position in became.refused}
    _require_the_refused(batch, refused, unmeasured, findings)
    gone = pl.Series([place + first for place in unmeasured - refused], dtype=pl.Int64)
    kept = rows.filter(~pl.col(POSITION).is_in(gone.implode()))
    lines = kept[POSITION].n_unique()
    books = (became.filtered, len(kept) - lines)
    findings.require(
        "I1",
        books == (batch.processed["filtered"], batch.processed["added"]),
        name,
        f"its transform filters {books[0]} lines and adds {books[1]} rows, the processor counts "
        f"{batch.processed['filtered']} and {batch.processed['added']}",
    )
    return kept


def _require_the_refused(batch: Batch, refused: set[int], unmeasured: set[int], findings: Findings) -> None:
    """Each line that its transform refuses only here, or only in quarantine, is a violation of its own."""
    kept = {
        place: reason for place, reason in batch.refused_after.items() if place not in refused | unmeasured
    }
    lost = refused - batch.refused_after.keys()
    for place in sorted(kept.keys() | lost):
        message = (
            "its transform refuses it, and it is not in quarantine"
            if place in lost
            else f"it is refused ({kept[place]}), though nothing is wrong with it and its transform does not refuse it"
        )
        findings.add("I1", batch.record(place), message)
    findings.count("I1", len(refused | batch.refused_after.keys()))


def _run(dataset: Dataset, typed: pl.DataFrame, transformer: Transformer) -> tuple[pl.DataFrame, Transformed]:
    given_schema = data_schema(dataset.as_read()).append(position_field())
    schema = data_schema(dataset).append(position_field())
    if typed.is_empty():
        return _frame(schema.empty_table()), Transformed()
    with tempfile.TemporaryDirectory(prefix="onpoint-") as name:
        folder = Path(name)
        given, target = folder / "typed.arrow", folder / "transformed.arrow"
        table: Any = typed.select(given_schema.names).to_arrow(compat_level=pl.CompatLevel.oldest())
        write_pieces(given, given_schema, table.cast(given_schema).to_batches(PIECE_ROWS))
        last = transformer.run(dataset.transform, given, folder, schema.names)
        kinds = {column.name: column.value_type for column in dataset.columns}
        became = finish(
            given,
            last,
            target,
            schema,
            dataset.key,
            lambda rows: list(misfits(rows, kinds, is_canonical)),
            dataset.added,
        )
        return _frame(pa.Table.from_batches(read_pieces(target), schema_of(target))), became


def _frame(table: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(table))
