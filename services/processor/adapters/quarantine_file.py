"""The rejected lines of a batch as a file."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

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
            self.reasons[reason.value] += 1
            self._writer.write(data)
