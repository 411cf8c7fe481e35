"""Lines of a compressed file in staging: streamed from disk, never all in memory."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import zstandard

from shared.storage import keys
from shared.storage.object_store import ObjectStore

BLOCK_BYTES = 2**20
MAX_LINE_BYTES = 8 * 2**20
"""What is longer is cut here."""


@asynccontextmanager
async def downloaded(
    staging: ObjectStore, run_id: str, dataset: str, uri: str, size: int, sha256: str
) -> AsyncIterator[Path]:
    """An artifact of a run's dataset as a file, checked against length and hash.

    Raises `PermanentError` for one that is gone, damaged or elsewhere, `StorageUnavailableError` in an outage.
    """
    with tempfile.TemporaryDirectory(prefix="onpoint-") as folder:
        target = Path(folder) / "artifact"
        key = staging.key(uri, keys.dataset_prefix(run_id, dataset))
        await staging.download(key, target, size=size, sha256=sha256)
        yield target


def line_at(file: Path, number: int) -> bytes | None:
    """The line with a number, from 0; None where the file has fewer. Raises `ZstdError` for a damaged file.

    Blocks for some 0.1 s for each 50 MB before it.
    """
    skip = number
    with file.open("rb") as packed, zstandard.ZstdDecompressor().stream_reader(packed) as stream:
        found = bytearray()
        while block := stream.read(BLOCK_BYTES):
            at = 0
            if skip:
                count = block.count(b"\n")
                if count < skip:
                    skip -= count
                    continue
                while skip:
                    at, skip = block.index(b"\n", at) + 1, skip - 1
            end = block.find(b"\n", at)
            found += block[at : end if end >= 0 else None]
            if end >= 0 or len(found) >= MAX_LINE_BYTES:
                return bytes(found[:MAX_LINE_BYTES])
        return bytes(found) or None


def lines_of(file: Path) -> Iterator[bytes]:
    """Every line without its end; of a longer one the first `MAX_LINE_BYTES`. Raises as `line_at`."""
    with file.open("rb") as packed, zstandard.ZstdDecompressor().stream_reader(packed) as stream:
        rest = b""
        while block := stream.read(BLOCK_BYTES):
            *whole, rest = (rest + block).split(b"\n")
            yield from whole
            rest = rest[:MAX_LINE_BYTES]
        if rest:
            yield rest
