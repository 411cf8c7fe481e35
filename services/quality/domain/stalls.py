"""Tells a consumer that stands still from one that has nothing to do."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a group is in a partition."""

    committed: int
    end: int
    """The offset of the record that will come next."""


@dataclass(frozen=True, slots=True)
class _Moved:
    """What was there when the committed offset was seen to move last."""

    committed: int
    end: int
    stalled_since: float | None


class Stalls(Generic[Key]):
    """The partitions whose end moves while the committed offset does not.

    A partition at whose end nothing comes is none, even where its last offsets are never committed: markers of
    transactions are such offsets.
    """

    def __init__(self) -> None:
        self._moved: dict[Key, _Moved] = {}

    def seconds(self, positions: Mapping[Key, Position], now: float) -> dict[Key, float]:
        """For how long each partition has stood still; 0 for one that does not. Forgets those that are not named."""
        self._moved = {key: self._look(key, position, now) for key, position in positions.items()}
        return {
            key: 0.0 if moved.stalled_since is None else now - moved.stalled_since
            for key, moved in self._moved.items()
        }

    def _look(self, key: Key, position: Position, now: float) -> _Moved:
        before = self._moved.get(key)
        if before is None or position.committed != before.committed or position.committed >= position.end:
            return _Moved(position.committed, position.end, None)
        if before.stalled_since is None and position.end > before.end:
            return _Moved(before.committed, before.end, now)
        return before
