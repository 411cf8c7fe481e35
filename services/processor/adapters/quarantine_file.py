"""The rejected lines of a batch as a file."""

import heapq
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson
import zstandard

from services.processor.domain.parse import Refused
from services.processor.domain.quarantine import RequestLog, quarantine_line

QUARANTINE_LEVEL = 3


class QuarantineFile:
    """Rejected lines as zstd JSON lines, in the order of their positions."""

    def __init__(self, file: Path, log: RequestLog, first_position: int) -> None:
        self._log = log
        self._first_position = first_position
        self._file = file.open("wb")
        self._writer = zstandard.ZstdCompressor(level=QUARANTINE_LEVEL).stream_writer(self._file)
        self.reasons: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()  # type: ignore[no-untyped-call]  # as its stubs have it
        self._file.close()

    def add(self, refused: Iterable[Refused]) -> None:
        for line in refused:
            reason, data = quarantine_line(line, self._log, self._first_position)
            self.write(reason.value, data)

    def write(self, reason: str, data: bytes) -> None:
        """A line as `quarantine_line` gives it."""
        self.reasons[reason] += 1
        self._writer.write(data)


def add_refused(file: Path, refused: Iterable[Refused], log: RequestLog, first_position: int) -> Counter[str]:
    """Merges further lines into the file, by their positions; both are in their order. Returns all reasons."""
    before = file.with_suffix(".before")
    file.replace(before)
    more = ((line.line + first_position, *quarantine_line(line, log, first_position)) for line in refused)
    with QuarantineFile(file, log, first_position) as merged:
        for _, reason, data in heapq.merge(_stored(before), more, key=lambda line: line[0]):
            merged.write(str(reason), data)
    before.unlink()
    return merged.reasons


def _stored(file: Path) -> Iterator[tuple[int, str, bytes]]:
    with file.open("rb") as packed, zstandard.ZstdDecompressor().stream_reader(packed) as reader:
        for line in io.BufferedReader(reader):
            document = orjson.loads(line)
            yield document["source_position"], document["reason"], line
