"""Bytes that wait for their turn: in memory while they are few, else in a file."""

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Self

from shared.errors import TransientError

SPOOL_BYTES = 640 * 1024
"""Bytes in memory at most. A window of 100 pages is thus below 64 MiB, whatever a source sends."""

BLOCK_BYTES = 2**20


class Spool:
    """Written once, then read. Raises `TransientError` where the disk fails."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self.bytes = 0

    @classmethod
    def of(cls, data: bytes, folder: Path) -> Self:
        spool = cls(folder)
        spool.write(data)
        return spool

    @property
    def is_big(self) -> bool:
        return self._file is not None

    def write(self, data: bytes) -> None:
        self.bytes += len(data)
        try:
            if self._file is None and self.bytes > SPOOL_BYTES:
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed by `close`
                self._file.write(self._memory)
                self._memory = bytearray()
            if self._file is None:
                self._memory += data
            else:
                self._file.write(data)
        except OSError as error:
            raise TransientError(f"the scratch disk: {error}") from error

    def blocks(self) -> Iterator[bytes]:
        """Everything from the start, at most a megabyte at a time."""
        if self._file is None:
            if self._memory:
                yield bytes(self._memory)
            return
        self._file.seek(0)
        while block := self._file.read(BLOCK_BYTES):
            yield block

    def read(self) -> bytes:
        return b"".join(self.blocks())

    def digest(self) -> bytes:
        """Of everything. Costs a millisecond per megabyte."""
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block)
        return digest.digest()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._memory = bytearray()
