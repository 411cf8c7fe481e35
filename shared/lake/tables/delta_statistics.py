"""What Delta's log tells of a file, by which a reader leaves it out: rows, nulls, least and greatest values. Pure."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow.parquet as pq

MOST_CHARS = 64
"""A text that is longer has no bounds: each commit is read by every reader."""


def statistics_of(footer: pq.FileMetaData) -> dict[str, Any]:
    """Of columns that are no lists or structs. Fractions, decimals and bytes have no bounds: JSON would round them."""
    nulls: dict[str, int] = {}
    bounds: dict[str, tuple[Any, Any]] = {}
    for place in range(footer.num_columns):
        column = footer.schema.column(place)
        if column.path != column.name or column.max_repetition_level:
            continue
        found: list[Any] = [
            footer.row_group(group).column(place).statistics for group in range(footer.num_row_groups)
        ]
        if any(one is None or not one.has_null_count for one in found):
            continue
        nulls[column.name] = sum(one.null_count for one in found)
        filled = [one for one in found if one.num_values]
        if filled and all(one.has_min_max for one in filled):
            least, greatest = min(one.min for one in filled), max(one.max for one in filled)
            if _is_exact(least) and _is_exact(greatest):
                bounds[column.name] = _text(least), _text(greatest, up=True)
    return {
        "numRecords": footer.num_rows,
        "nullCount": nulls,
        "minValues": {name: least for name, (least, _) in bounds.items()},
        "maxValues": {name: greatest for name, (_, greatest) in bounds.items()},
    }


def _is_exact(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= MOST_CHARS
    return isinstance(value, int | date) and not isinstance(value, bool)


def _text(value: Any, *, up: bool = False) -> Any:
    """Moments have milliseconds in the log: the upper bound is rounded up."""
    if not isinstance(value, datetime):
        return value.isoformat() if isinstance(value, date) else value
    value = value.astimezone(UTC)
    if up and value.microsecond % 1000:
        value += timedelta(milliseconds=1)
    return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03}Z"
