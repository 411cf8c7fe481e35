"""The marker between the blocks of an Avro file, made from the content: the writer draws it at random."""

import hashlib
from collections.abc import Iterator
from io import BufferedRandom
from pathlib import Path

MAGIC = b"Obj\x01"
MARKER_BYTES = 16
CONTINUES = 0x80
"""The bit of a byte of a number that another one follows."""

COPY_BYTES = 2**20


def set_marker(file: Path) -> None:
    """Writes a marker that follows from everything else in the file in place of each. The file is read once."""
    digest = hashlib.sha256()
    with file.open("r+b") as avro:
        places = [_skip_header(avro, digest), *_skip_blocks(avro, digest)]
        marker = digest.digest()[:MARKER_BYTES]
        for place in places:
            avro.seek(place)
            avro.write(marker)


def _skip_header(avro: BufferedRandom, digest: "hashlib._Hash") -> int:
    """The place of the header's marker; the file is behind it then."""
    if avro.read(len(MAGIC)) != MAGIC:
        raise ValueError("an Avro file is expected")
    while count := _read_long(avro):
        if count < 0:
            _read_long(avro)  # the bytes of the entries
        for _ in range(abs(count) * 2):  # a name and a value each
            digest.update(avro.read(_read_long(avro)))
    return _skip_marker(avro)


def _skip_blocks(avro: BufferedRandom, digest: "hashlib._Hash") -> Iterator[int]:
    """The place of the marker behind each block."""
    while avro.peek(1):
        count, size = _read_long(avro), _read_long(avro)
        digest.update(f"{count} {size} ".encode())
        while size:
            part = avro.read(min(size, COPY_BYTES))
            if not part:
                raise ValueError("an Avro block ends before its time")
            digest.update(part)
            size -= len(part)
        yield _skip_marker(avro)


def _skip_marker(avro: BufferedRandom) -> int:
    place = avro.tell()
    avro.seek(MARKER_BYTES, 1)
    return place


def _read_long(avro: BufferedRandom) -> int:
    """Avro's variable-length integer."""
    value = shift = 0
    while True:
        [byte] = avro.read(1)
        value |= (byte & ~CONTINUES) << shift
        shift += 7
        if not byte & CONTINUES:
            return (value >> 1) ^ -(value & 1)
