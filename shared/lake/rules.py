"""Which files of the lake become one, and what they are named. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from shared.events.ids import derive

MOST_SOURCES = 2_000
"""Files of one compaction; each is opened, and its name is in the database."""

MOST_TARGETS = 1.5
"""An object has no more than this many times the target, unless one source has."""


@dataclass(frozen=True, slots=True)
class LakeFile:
    """A file that counts: of the sink, or made by a compaction."""

    key: str
    uri: str
    rows: int
    bytes: int
    sha256: str
    is_settled: bool = True
    """Every run with rows in it has ended."""

    @property
    def folder(self) -> str:
        return self.key.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Plan:
    """A compaction that is to be done: files of one folder."""

    dataset: str
    folder: str
    sources: tuple[LakeFile, ...]
    """By their keys."""
    latest: bool = False

    @property
    def name(self) -> str:
        """Derived from the sources: the same files are the same compaction, whoever plans it."""
        kind = "latest" if self.latest else "all"
        return derive("compaction", kind, self.dataset, *(source.key for source in self.sources))

    @property
    def rows(self) -> int:
        return sum(source.rows for source in self.sources)

    @property
    def bytes(self) -> int:
        return sum(source.bytes for source in self.sources)


def object_name(compaction: str, sha256: str) -> str:
    """Derived from the compaction and from the bytes: an object is never written over by another content.

    It begins unlike an object of the sink, so that whoever lists the bucket can tell them apart.
    """
    return f"c-{derive(compaction, sha256)}"


def is_small(size_bytes: int, target_bytes: int) -> bool:
    return size_bytes < target_bytes // 2


def plan_compactions(dataset: str, files: Iterable[LakeFile], target_bytes: int) -> list[Plan]:
    """The small files of each folder in groups that reach the target; what would stay alone is left as it is.

    A group is below one and a half targets, as each file is below a half.
    """
    small = [file for file in files if file.is_settled and is_small(file.bytes, target_bytes)]
    small.sort(key=lambda file: file.key)
    plans: list[Plan] = []
    for folder, of_folder in groupby(small, key=lambda file: file.folder):
        plans += [
            Plan(dataset, folder, tuple(group))
            for group in _groups(list(of_folder), target_bytes)
            if len(group) > 1
        ]
    return plans


def plan_latest(
    dataset: str, files: Sequence[LakeFile], superseded: Iterable[str], target_bytes: int
) -> list[Plan]:
    """As `plan_compactions`, and every file with a superseded row (`superseded`: their keys) is written anew."""
    touched = set(superseded)
    wanted = [
        file
        for file in files
        if file.is_settled and (file.key in touched or is_small(file.bytes, target_bytes))
    ]
    wanted.sort(key=lambda file: file.key)
    plans: list[Plan] = []
    for folder, of_folder in groupby(wanted, key=lambda file: file.folder):
        plans += [
            Plan(dataset, folder, tuple(group), latest=True)
            for group in _groups(list(of_folder), target_bytes)
            if len(group) > 1 or group[0].key in touched
        ]
    return plans


def _groups(files: list[LakeFile], target_bytes: int) -> list[list[LakeFile]]:
    groups: list[list[LakeFile]] = []
    current: list[LakeFile] = []
    size = 0
    for file in files:
        if current and size + file.bytes > MOST_TARGETS * target_bytes:
            groups.append(current)
            current, size = [], 0
        current.append(file)
        size += file.bytes
        if size >= target_bytes or len(current) == MOST_SOURCES:
            groups.append(current)
            current, size = [], 0
    return [*groups, current] if current else groups
