"""How the objects of a dataset are, and what a compaction would win. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.datasets.lake import TableKind
from shared.lake.rules import LakeFile, is_small, plan_compactions

MIB = 2**20

BOUNDS = (MIB // 16, MIB, 8 * MIB, 32 * MIB, 64 * MIB, 128 * MIB)
"""Upper bounds of the classes of sizes; a last class has what is larger."""


@dataclass(frozen=True, slots=True)
class TableStatus:
    format: TableKind
    version: str
    objects: int
    """That count; those of before the table are not in it."""


@dataclass(frozen=True, slots=True)
class LakeStatus:
    dataset: str
    folders: int
    objects: int
    rows: int
    bytes: int
    small_objects: int
    """Below half the target."""
    small_bytes: int
    sizes: tuple[int, ...]
    """Objects of each class of `BOUNDS`."""
    objects_to_win: int
    """Fewer objects after a compaction."""
    bytes_to_win: int | None
    """Estimated by the dataset's compactions so far; None: there are none."""
    replaced_objects: int
    """Replaced by a compaction, and in the bucket for the grace time."""
    replaced_bytes: int
    tables: tuple[TableStatus, ...] = ()
    """Of the table formats that the dataset has, or had."""

    @property
    def score(self) -> int:
        """The share of the objects that a compaction would leave: 100, nothing is to win."""
        return round(100 * (self.objects - self.objects_to_win) / self.objects) if self.objects else 100

    @property
    def small_share(self) -> float:
        return self.small_objects / self.objects if self.objects else 0.0


def lake_status(
    dataset: str,
    files: Sequence[LakeFile],
    target_bytes: int,
    *,
    ratio: float | None,
    replaced: tuple[int, int] = (0, 0),
    tables: Sequence[TableStatus] = (),
) -> LakeStatus:
    """`ratio`: bytes after compactions so far by bytes before. `replaced`: objects and bytes that wait for a sweep."""
    plans = plan_compactions(dataset, files, target_bytes)
    planned = sum(plan.bytes for plan in plans)
    small = [file for file in files if is_small(file.bytes, target_bytes)]
    sizes = [0] * (len(BOUNDS) + 1)
    for file in files:
        sizes[sum(file.bytes >= bound for bound in BOUNDS)] += 1
    return LakeStatus(
        dataset=dataset,
        folders=len({file.folder for file in files}),
        objects=len(files),
        rows=sum(file.rows for file in files),
        bytes=sum(file.bytes for file in files),
        small_objects=len(small),
        small_bytes=sum(file.bytes for file in small),
        sizes=tuple(sizes),
        objects_to_win=sum(len(plan.sources) - 1 for plan in plans),
        bytes_to_win=None if ratio is None else max(0, round(planned * (1 - ratio))),
        replaced_objects=replaced[0],
        replaced_bytes=replaced[1],
        tables=tuple(tables),
    )
