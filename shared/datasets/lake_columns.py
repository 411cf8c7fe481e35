"""Whether the columns that a dataset's `lake` names can be what it names them for."""

from collections.abc import Mapping

from shared.datasets.faults import FaultError
from shared.datasets.lake import Lake, Partition
from shared.datasets.types import Type

TIMES = ("timestamp", "date")
FOLDER_TYPES = ("int8", "int16", "int32", "int64", "boolean", "string", "enum", "uuid", "date")
"""Types of which a value names a folder."""

UNSORTED_TYPES = ("binary", "json", "list", "struct")
NO_BLOOM_TYPES = ("boolean", "list", "struct")


def check_lake_columns(lake: Lake, types: Mapping[str, Type]) -> None:
    """Raises `FaultError` for a column that is not there or of an unfit type."""
    for place, partition in enumerate(lake.partitions):
        if partition.column is not None:
            _check_partition(partition, types, place)
    _check("sort_by", lake.sort_by or (), types, UNSORTED_TYPES, "is sorted by")
    _check("bloom", lake.bloom, types, NO_BLOOM_TYPES, "has a Bloom filter")


def _check(
    field: str, names: tuple[str, ...], types: Mapping[str, Type], unfit: tuple[str, ...], what: str
) -> None:
    for place, name in enumerate(names):
        if (found := _type_of(name, types, field, place)).name in unfit:
            raise FaultError(
                f"{name} is of type {found}, and no column of type {found.name} {what}", "lake", field, place
            )


def _check_partition(partition: Partition, types: Mapping[str, Type], place: int) -> None:
    at = ("lake", "partition_by", place)
    found = _type_of(partition.column or "", types, "partition_by", place)
    if partition.name in types:
        raise FaultError(f"its folders would be named like the column {partition.name}: rename that one", *at)
    if partition.unit is None:
        if found.name == "timestamp":
            raise FaultError(
                f"each moment would have a folder: write a unit, such as {partition.column}.day", *at
            )
        if found.name not in FOLDER_TYPES:
            known = ", ".join(FOLDER_TYPES)
            raise FaultError(f"{partition.column} is of type {found}: folders are of {known}", *at)
    elif found.name not in TIMES:
        raise FaultError(f"{partition.column} is of type {found}: only a timestamp or a date has units", *at)
    elif found.name == "date" and partition.unit == "hour":
        raise FaultError(f"{partition.column} is a date: it has no hours", *at)


def _type_of(name: str, types: Mapping[str, Type], field: str, place: int) -> Type:
    if name not in types:
        raise FaultError(f"no such column: {name}", "lake", field, place)
    return types[name]
