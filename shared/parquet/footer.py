"""The footer of a Parquet file of which only the end is read."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq

LIKELY_BYTES = 64 * 2**10
"""Of most footers."""

_TAIL_BYTES = 8
"""The footer's length and the magic number."""


def read_footer(end_of: Callable[[int], bytes]) -> pq.FileMetaData:
    """`end_of` gives the last bytes of the file; it is called once, or twice for a long footer.

    Raises `pa.ArrowInvalid` for what is no Parquet.
    """
    end = end_of(LIKELY_BYTES)
    length = int.from_bytes(end[-_TAIL_BYTES : -_TAIL_BYTES // 2], "little") + _TAIL_BYTES
    if length > len(end) == LIKELY_BYTES:
        end = end_of(length)
    return pq.read_metadata(pa.BufferReader(end[-length:]))
