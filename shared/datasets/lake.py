"""What a dataset file says about its objects in the lake: their folders, their order and how they are encoded."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal, Self, cast

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from shared.datasets.faults import FaultError
from shared.datasets.fields import Model, Name, Whole
from shared.events.ids import DATASET_PATTERN

TableKind = Literal["delta", "iceberg"]

Unit = Literal["year", "month", "day", "hour"]

RUN = "run"
"""Before the point: the time at which the run was requested, instead of a column."""

CODEC_LEVELS = {"zstd": range(1, 20), "gzip": range(1, 10)}

_PARTITION = re.compile(rf"(?P<of>{DATASET_PATTERN})(?:\.(?P<unit>year|month|day|hour))?")


@dataclass(frozen=True, slots=True)
class Partition:
    """One level of folders, or for the time of the run the levels down to its unit."""

    column: str | None
    """None: the time of the run."""
    unit: Unit | None

    @property
    def name(self) -> str:
        """Of the folders. No column has it: Hive takes no partition that is named like a column."""
        return f"part_{self.column}_{self.unit}" if self.unit else f"part_{self.column}"


def parse_partition(text: str) -> Partition:
    """Raises `FaultError`."""
    found = _PARTITION.fullmatch(text)
    if found is None:
        raise FaultError(
            f"{text!r} is no partition: write run.hour, a column, or a column and a unit such as created_at.day"
        )
    of, unit = found["of"], cast("Unit | None", found["unit"])
    if of != RUN:
        return Partition(of, unit)
    if unit is None:
        raise FaultError("the time of the run needs a unit: run.hour, run.day, run.month or run.year")
    return Partition(None, unit)


def _partition_text(text: str) -> str:
    parse_partition(text)
    return text


PartitionText = Annotated[str, StringConstraints(max_length=100), AfterValidator(_partition_text)]


class Lake(Model):
    """How a dataset's objects in the lake are laid out."""

    table: TableKind | None = None
    """The table format that names the objects; None: listings do."""
    partition_by: Annotated[tuple[PartitionText, ...], Field(min_length=1, max_length=5)] = ("run.hour",)
    sort_by: Annotated[tuple[Name, ...], Field(max_length=32)] | None = None
    """Order of the rows of an object; None: by the key; (): as they came."""
    codec: Literal["zstd", "gzip", "snappy"] = "zstd"
    level: Whole | None = None
    row_group_rows: Annotated[Whole, Field(ge=1_000, le=1_000_000)] = 100_000
    bloom: Annotated[tuple[Name, ...], Field(max_length=32)] = ()
    """Columns with a Bloom filter."""

    @property
    def partitions(self) -> tuple[Partition, ...]:
        return tuple(parse_partition(text) for text in self.partition_by)

    @property
    def is_by_hour_of_run(self) -> bool:
        return self.partition_by == ("run.hour",)

    @property
    def partition_columns(self) -> tuple[str, ...]:
        return tuple(partition.column for partition in self.partitions if partition.column is not None)

    @model_validator(mode="after")
    def level_is_of_the_codec(self) -> Self:
        if self.level is None:
            return self
        levels = CODEC_LEVELS.get(self.codec)
        if levels is None:
            raise FaultError(f"{self.codec} has no levels: leave it away", "level")
        if self.level not in levels:
            raise FaultError(
                f"{self.level} is no level of {self.codec}: it has {levels.start} to {levels.stop - 1}",
                "level",
            )
        return self

    @model_validator(mode="after")
    def nothing_is_named_twice(self) -> Self:
        for field in ("partition_by", "sort_by", "bloom"):
            names = getattr(self, field) or ()
            if len(set(names)) < len(names):
                raise FaultError("a name is there twice", field)
        if sum(partition.column is None for partition in self.partitions) > 1:
            raise FaultError("the time of the run is there twice", "partition_by")
        return self
