"""A list of ids on the scratch disk, each once: millions of them cost a digest each in memory."""

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from json.encoder import encode_basestring_ascii
from pathlib import Path

from services.crawler.domain.plans import MAX_IDS
from services.crawler.domain.records import read_ids
from shared.errors import TransientError

BUFFER_BYTES = 2**20
DIGEST_BYTES = 16
PIECE_BYTES = 2**20
"""A piece of a long list is closed behind the batch with which it reaches this."""


@dataclass(frozen=True, slots=True)
class IdFile:
    """One JSON text per line."""

    path: Path
    count: int
    size: int
    """In bytes."""

    def batches(self, ids_per_batch: int) -> Iterator[bytes]:
        """`ids_per_batch` ids each, as a JSON array on one line."""
        with self.path.open("rb", BUFFER_BYTES) as file:
            while ids := list(islice(file, ids_per_batch)):
                yield b"[" + b",".join(text.rstrip(b"\n") for text in ids) + b"]"


def write_ids(body: bytes, *, file: Path, limit: int | None) -> IdFile:
    """The first `limit` ids of a list, a repeated id once.

    Memory beside the body: 32 bytes per id, rounded up to a power of two. Raises `BadBodyError`, `TransientError` where
    the scratch disk refuses.
    """
    most = min(body.count(b",") + 1, MAX_IDS)
    try:
        with file.open("wb", BUFFER_BYTES) as target:
            count = 0
            for text in _once(map(_text_of, read_ids(body)), most):
                if limit is None or count < limit:
                    target.write(text + b"\n")
                    count += 1
            return IdFile(file, count, target.tell())
    except OSError as error:
        raise TransientError(f"the scratch disk: {error}") from error


def pieces_of(batches: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The batches of one piece after the other."""
    piece: list[bytes] = []
    size = 0
    for batch in batches:
        piece.append(batch)
        size += len(batch)
        if size >= PIECE_BYTES:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def _text_of(identity: int | str) -> bytes:
    return (encode_basestring_ascii(identity) if isinstance(identity, str) else str(identity)).encode()


def _once(texts: Iterable[bytes], most: int) -> Iterator[bytes]:
    """The texts without repetitions. A hash table of digests without an object per entry: a set takes 100 bytes each."""
    slots = 1 << (most * 3 // 2).bit_length()
    low, high = array("Q", bytes(8 * slots)), array("Q", bytes(8 * slots))
    for text in texts:
        digest = hashlib.blake2b(text, digest_size=DIGEST_BYTES).digest()
        first = int.from_bytes(digest[:8], "little") or 1
        second = int.from_bytes(digest[8:], "little")
        at = first & (slots - 1)
        while low[at] and (low[at], high[at]) != (first, second):
            at = (at + 1) & (slots - 1)
        if not low[at]:
            low[at], high[at] = first, second
            yield text
