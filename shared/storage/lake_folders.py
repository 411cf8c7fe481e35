"""The folders of lake objects whose dataset names its own partitions: `name=value`, as Hive writes them."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote

from shared.datasets.lake import Partition

NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"
"""Of null and of the empty text."""

MAX_VALUE_CHARS = 160
"""Of an encoded value: five of them leave room for the rest in the 1,024 bytes of a key."""

RUN_UNITS = (("year", "%Y"), ("month", "%m"), ("day", "%d"), ("hour", "%H"))


def lake_folder(partitions: Sequence[Partition], requested_at: datetime, values: Sequence[str | None]) -> str:
    """`values`: one for each partition that is a column's, as text."""
    found = iter(values)
    levels: list[str] = []
    for partition in partitions:
        if partition.column is None:
            units = [unit for unit, _ in RUN_UNITS]
            depth = units.index(str(partition.unit)) + 1
            levels += [f"{unit}={requested_at:{code}}" for unit, code in RUN_UNITS[:depth]]
        else:
            levels.append(f"{partition.name}={_encoded(next(found))}")
    return "/".join(levels)


def _encoded(value: str | None) -> str:
    """A value that is too long keeps its begin, and gets a hash of the whole."""
    if not value:
        return NULL_FOLDER
    encoded = quote(value, safe="")
    if len(encoded) <= MAX_VALUE_CHARS:
        return encoded
    digest = hashlib.sha256(value.encode()).hexdigest()[:32]
    return f"{quote(value[:10], safe='')}~{digest}"
