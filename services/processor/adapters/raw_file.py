"""The raw lines of a batch, read as a stream."""

from collections.abc import Iterator
from pathlib import Path

import zstandard

from shared.errors import PermanentError
from shared.reasons import Reason

BLOCK_BYTES = 2**20 - 2**16
"""One parse: large enough that its fixed costs vanish, and with what malloc adds below what it maps by itself (1 MiB,
`ALLOCATORS` of the local stack and the image): the same warm memory serves one block after the other."""

MAX_INFLATED_BYTES = 4 * 2**30
MAX_RATIO = 1000
FREE_INFLATED_BYTES = 256 * 2**20
"""A batch inflates to at most `MAX_RATIO` times its size above this, and to `MAX_INFLATED_BYTES` in any case."""

MAX_WINDOW_BYTES = 2**27


def inflate(file: Path) -> Iterator[bytes]:
    """The file's content in blocks. Raises `PermanentError`: `decode` if it is not zstd, `too_large` for a bomb."""
    allowed = min(MAX_INFLATED_BYTES, FREE_INFLATED_BYTES + MAX_RATIO * file.stat().st_size)
    total = 0
    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    with file.open("rb") as source, decompressor.stream_reader(source, read_across_frames=True) as reader:
        while True:
            try:
                block = reader.read(BLOCK_BYTES)
            except zstandard.ZstdError as error:
                raise PermanentError(Reason.DECODE, f"not zstd: {error}") from error
            if not block:
                return
            total += len(block)
            if total > allowed:
                raise PermanentError(
                    Reason.TOO_LARGE, f"{file.stat().st_size} bytes inflate to more than {allowed}"
                )
            yield block
