"""How many bytes PostgreSQL takes for a row at least. Pure."""

from collections.abc import Iterable

from shared.datasets.lineage import TABLE_LINEAGE
from shared.datasets.types import Type

ROW_BYTES = 8160
"""A row lies within a page of 8,192 bytes, beside the page's header and the pointer to it; only texts may move out."""


_HEADER_BYTES = 23
_ALIGNMENT = 8

_EMPTY_TEXT_BYTES = 1
_MOVED_TEXT_BYTES = 18
"""What is left in the row of a text that lies elsewhere. Texts are not aligned."""


def full_row_bytes(types: Iterable[Type]) -> int:
    """The least that a row takes whose columns are all filled: every text is empty, and the batch's id moved out.

    The pipeline's own five columns count too, and the bitmap of a row with a null in it: rows of one dataset have
    both kinds, and one that fits by the bitmap's bytes only would be refused at its first null.
    """
    columns = list(types)
    bitmap = (len(columns) + len(TABLE_LINEAGE) + 7) // 8
    end = _align(_HEADER_BYTES + bitmap, _ALIGNMENT)
    for column in columns:
        end = _align(end, column.kind.alignment) + column.size_bytes
    end += _EMPTY_TEXT_BYTES + 1 + _MOVED_TEXT_BYTES  # _run_id has a letter at least, then _batch_id
    end = _align(end, 8) + 3 * 8  # _requested_at, _source_position, etl_processed_at
    return _align(end, _ALIGNMENT)


def _align(place: int, to: int) -> int:
    return -(-place // to) * to
