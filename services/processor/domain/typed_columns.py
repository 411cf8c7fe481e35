"""The dataset's columns from the values of a chunk as the parser of JSON gives them, or a doubt."""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from services.processor.domain.parse_schema import MAX_KEY_BYTES, ParseSchema

Columns = list["pa.Array[Any]"]


def typed_columns(values: "Iterable[pa.Array[Any]]", parse_schema: ParseSchema) -> Columns | None:
    """`values` are in the order of the targets. None if a single value is doubtful."""
    columns: Columns = []
    for target, given in zip(parse_schema.targets, values, strict=True):
        column = target.reader.column(given)
        if column is None or (target.is_key and column.null_count):
            return None
        columns.append(column)
    return columns if _has_short_keys([columns[place] for place in parse_schema.key_texts]) else None


def _has_short_keys(texts: Columns) -> bool:
    """A sum of the longest is a doubt, no more."""
    longest: list[int] = [
        pc.max(pc.call_function("binary_length", [column])).as_py() or 0 for column in texts
    ]
    return sum(longest) <= MAX_KEY_BYTES
