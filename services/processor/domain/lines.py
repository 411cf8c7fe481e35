"""Cuts a stream of bytes into chunks of whole lines. Memory is one chunk, or one long line."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import stringzilla

MAX_LINE_BYTES = 64 * 2**20
"""A longer line is refused: parsing it would take several times its size in memory."""

HEAD_BYTES = 2**20
"""The part of a longer line that is stored."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines, each with its newline."""

    first_line: int
    lines: int
    data: bytes


@dataclass(frozen=True, slots=True)
class LongLine:
    """A line above `MAX_LINE_BYTES`: its beginning, and how long it is."""

    line: int
    head: bytes
    length: int


def cut_lines(blocks: Iterable[bytes], max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[Chunk | LongLine]:
    """A chunk is about as large as a block, which is no longer than a line may be. A last line without a newline is
    a line.
    """
    line = 0
    begun = _Begun(max_line_bytes)
    for block in blocks:
        end, stop = block.find(b"\n"), block.rfind(b"\n") + 1
        if end < 0:
            begun.add(block)
            continue
        if begun.length + end > max_line_bytes:
            begun.add(block[:end])
            yield LongLine(line, begun.head(), begun.length)
            line += 1
            data = block[end + 1 : stop]
        else:
            data = begun.joined_with(block, stop)
        if data:
            lines = int(stringzilla.count(data, b"\n"))
            yield Chunk(line, lines, data)
            line += lines
        begun = _Begun(max_line_bytes)
        begun.add(block[stop:])
    if begun.length > max_line_bytes:
        yield LongLine(line, begun.head(), begun.length)
    elif begun.length:
        yield Chunk(line, 1, begun.joined() + b"\n")


class _Begun:
    """A line whose end has not been seen yet. Stores only as much of it as is needed."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self.length = 0

    def add(self, part: bytes) -> None:
        self.length += len(part)
        self._parts.append(part)
        if self.length > self._max_bytes:
            self._parts = [self.head()]

    def joined(self) -> bytes:
        return b"".join(self._parts)

    def joined_with(self, block: bytes, stop: int) -> bytes:
        """All of it, then the beginning of a block; one copy."""
        return b"".join((*self._parts, memoryview(block)[:stop]))

    def head(self) -> bytes:
        return self.joined()[:HEAD_BYTES]
