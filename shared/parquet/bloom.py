"""Bloom filters of Parquet, as its specification has them: blocks of 256 bits, XXH64 of the plainly encoded value. Pure."""

import struct
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

BLOCK_BYTES = 32

_SALTS = (
    0x47B6137B,
    0x44974D91,
    0x8824AD5B,
    0xA2B7289D,
    0x705495C7,
    0x2DF1424B,
    0x9EFC4947,
    0x5C6BFB31,
)
_LOW = 0xFFFFFFFF


def hash_of(value: "pa.Scalar[pa.DataType]", physical_type: str) -> int | None:
    """The hash of a value as its column stores it; None for a type whose values are not looked up here."""
    plain = value.as_py()
    match physical_type:
        case "BYTE_ARRAY" if isinstance(plain, str):
            data = plain.encode()
        case "INT32" if type(plain) is int:
            data = struct.pack("<i", plain)
        case "INT64" if type(plain) is int:
            data = struct.pack("<q", plain)
        case _:
            return None
    return xxhash.xxh64_intdigest(data)


def block_range(chunk: pq.ColumnChunkMetaData, hashed: int) -> tuple[int, int] | None:
    """Where in the object the one block is that tells of the hash; None where the column has no filter.

    A filter is its header, then a power of two of bytes: the header's length is what is above that.
    """
    told: Any = chunk  # the stubs of pyarrow do not know these two
    offset, length = told.bloom_filter_offset, told.bloom_filter_length
    if offset is None or length is None or length <= BLOCK_BYTES:
        return None
    bits = 1 << (length.bit_length() - 1)
    block = ((hashed >> 32) * (bits // BLOCK_BYTES)) >> 32
    start = offset + length - bits + block * BLOCK_BYTES
    return start, start + BLOCK_BYTES


def may_contain(block: bytes, hashed: int) -> bool:
    """False: no value with the hash is in the row group."""
    words = struct.unpack("<8I", block)
    return all(
        word >> (((hashed & _LOW) * salt & _LOW) >> 27) & 1 for word, salt in zip(words, _SALTS, strict=True)
    )
