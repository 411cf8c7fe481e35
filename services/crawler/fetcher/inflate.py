"""Bodies are inflated here, piece by piece, so that a small answer cannot become a big one unseen."""

import zlib
from collections.abc import Iterator

from services.crawler.domain.fetching import FetchError

MAX_WIRE_BYTES = 64 * 2**20
MAX_BODY_BYTES = 256 * 2**20
MAX_RATIO = 100
RATIO_FREE_BYTES = 2**20
"""Below it no ratio is judged: short answers of one repeated word are innocent."""

PIECE_BYTES = 256 * 1024
_GZIP_WINDOW = 31


class Inflater:
    """Turns what comes over the wire into the body. Raises `FetchError` when a cap is passed or the stream is broken."""

    def __init__(self, encoding: str) -> None:
        encoding = encoding.strip().lower()
        if encoding not in {"", "identity", "gzip", "x-gzip"}:
            raise FetchError(
                f"content encoding {encoding[:40]!r} was not asked for", outcome="encoding", retryable=False
            )
        self._is_gzip = encoding.endswith("gzip")
        self._stream = zlib.decompressobj(_GZIP_WINDOW)
        self._started = False
        self._wire = self._body = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        self._wire += len(chunk)
        if self._wire > MAX_WIRE_BYTES:
            raise _too_large(f"the answer is larger than {MAX_WIRE_BYTES} bytes")
        for piece in self._inflate(chunk) if self._is_gzip else (chunk,):
            self._body += len(piece)
            if self._body > MAX_BODY_BYTES:
                raise _too_large(f"the answer inflates to more than {MAX_BODY_BYTES} bytes")
            if self._body > RATIO_FREE_BYTES and self._body > MAX_RATIO * self._wire:
                raise _too_large(f"the answer inflates to more than {MAX_RATIO} times its size")
            yield piece

    def finish(self) -> None:
        """Raises `FetchError` if the end is missing."""
        if self._is_gzip and self._started and not self._stream.eof:
            raise FetchError("the gzip stream is cut off", outcome="body", retryable=True)

    def _inflate(self, chunk: bytes) -> Iterator[bytes]:
        try:
            while chunk:
                if self._stream.eof:  # gzip allows several members in a row
                    self._stream = zlib.decompressobj(_GZIP_WINDOW)
                self._started = True
                piece = self._stream.decompress(chunk, PIECE_BYTES)
                chunk = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
                if piece:
                    yield piece
        except zlib.error as error:
            raise FetchError(f"not gzip: {error}"[:300], outcome="body", retryable=True) from error


def _too_large(detail: str) -> FetchError:
    return FetchError(detail, outcome="too_large", retryable=False)
