import asyncio
from pathlib import Path
from typing import IO

import zstandard

from shared.errors import TransientError

BUFFER_BYTES = 2**20
"""Compressed in one go, in a thread: a few milliseconds each."""

LEVEL = 1
"""The artifact is read once and swept: speed counts more than size."""


class LineFile:
    """A zstd file of lines, written in order, behind what the file has.

    Raises `TransientError` where the disk fails.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._buffer = bytearray()
        self._file: IO[bytes] = path.open("ab")
        self._stream = zstandard.ZstdCompressor(level=LEVEL).stream_writer(self._file, closefd=False)

    async def write(self, block: bytes) -> None:
        self._buffer += block
        if len(self._buffer) >= BUFFER_BYTES:
            await self._flush()

    async def finish(self) -> None:
        """Completes the file; without a line it gains an empty frame."""
        await self._flush()
        try:
            self._stream.close()  # type: ignore[no-untyped-call]  # zstandard's stubs are partial
            self._file.close()
        except OSError as error:
            raise TransientError(f"the scratch disk: {error}") from error

    def abandon(self) -> None:
        """Closes the file, whatever its state."""
        self._file.close()

    async def _flush(self) -> None:
        full, self._buffer = self._buffer, bytearray()
        if full:
            await asyncio.to_thread(self._compress, full)

    def _compress(self, block: bytearray) -> None:
        try:
            self._stream.write(block)
        except OSError as error:
            raise TransientError(f"the scratch disk: {error}") from error
