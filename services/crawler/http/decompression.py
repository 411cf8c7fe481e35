"""Decompresses bodies piece by piece, so that a small answer cannot become a big one unseen."""

import zlib
from collections.abc import Iterable, Iterator

import zstandard

from services.crawler.domain.fetching import FetchError

MAX_WIRE_BYTES = 64 * 2**20
MAX_BODY_BYTES = 256 * 2**20
MAX_RATIO = 100
RATIO_FREE_BYTES = 2**20
"""Below it the ratio does not count: a short answer may well repeat one word."""

PIECE_BYTES = 256 * 1024

ZSTD_WINDOW_BYTES = 8 * 2**20
"""Of memory that a stream may ask for: what a sender may expect of any receiver (RFC 9659)."""

ZSTD_SLICE_BYTES = 256
"""Fed at once: 4 bytes may become 128 KiB, and the library cannot return less."""

_GZIP_WINDOW = 31
_RAW_WINDOW = -15
_ZLIB_HEADER_BYTES = 2
_READ = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate", "zstd": "zstd"}
_NOT_READ = frozenset(
    {"br", "bzip2", "compress", "dcb", "dcz", "lz4", "lzma", "snappy", "x-bzip2", "x-compress", "xz"}
)
"""Other tokens, such as `utf-8`, do not mean compression."""


class _Deflated:
    """One stream with an end of its own: gzip, or deflate with or without a header of zlib."""

    def __init__(self, window: int) -> None:
        self._stream = zlib.decompressobj(window)
        self._header = b""
        self._has_header = window == _GZIP_WINDOW

    @property
    def is_done(self) -> bool:
        return self._stream.eof

    @property
    def rest(self) -> bytes:
        """What was fed and stands behind the end."""
        return self._stream.unused_data

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """What the chunk inflates to, in small pieces. Raises the library's error."""
        if not self._has_header:
            chunk = self._header + chunk
            if len(chunk) < _ZLIB_HEADER_BYTES:
                self._header = chunk
                return
            # zlib's checksum behind the end is not asked for: some servers leave it out.
            chunk, self._has_header = chunk[_ZLIB_HEADER_BYTES * _is_zlib(chunk) :], True
        piece = b"-"
        while not self.is_done and (chunk or len(piece) == PIECE_BYTES):
            piece = self._stream.decompress(chunk, PIECE_BYTES)
            chunk = self._stream.unconsumed_tail
            if piece:
                yield piece


class _Zstd:
    """As `_Deflated`."""

    def __init__(self) -> None:
        decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
        self._stream = decompressor.decompressobj()
        self.rest = b""

    @property
    def is_done(self) -> bool:
        return self._stream.eof

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        for at in range(0, len(chunk), ZSTD_SLICE_BYTES):
            if piece := self._stream.decompress(chunk[at : at + ZSTD_SLICE_BYTES]):
                yield piece
            if self.is_done:
                self.rest = self._stream.unused_data + chunk[at + ZSTD_SLICE_BYTES :]
                return


class Decompressor:
    """Turns what comes over the wire into the body. Raises `FetchError` when a cap is passed or the stream is broken.

    Behind the end of a stream a further one is read, as gzip and zstd allow; zeros and garbage there are ignored.
    """

    def __init__(self, content_encodings: Iterable[str] = ()) -> None:
        """Of the headers. What is refused by its name is refused with the first byte: an empty body has none."""
        self._names = _compressions(content_encodings)
        self._stream: _Deflated | _Zstd | None = None
        self._started = self._is_over = False
        self._between = b""
        self._wire = self._body = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        self._wire += len(chunk)
        if self._wire > MAX_WIRE_BYTES:
            raise _too_large(f"the answer is larger than {MAX_WIRE_BYTES} bytes")
        for piece in self._decompress(chunk) if self._names else (chunk,):
            self._body += len(piece)
            if self._body > MAX_BODY_BYTES:
                raise _too_large(f"the answer inflates to more than {MAX_BODY_BYTES} bytes")
            if self._body > RATIO_FREE_BYTES and self._body > MAX_RATIO * self._wire:
                raise _too_large(f"the answer inflates to more than {MAX_RATIO} times its size")
            yield piece

    def finish(self) -> None:
        """Raises `FetchError` if the end is missing."""
        if self._stream is not None or self._between:
            raise FetchError(f"the {self._names[0]} stream is cut off", outcome="body", retryable=True)

    def _decompress(self, chunk: bytes) -> Iterator[bytes]:
        name = self._check_names()
        try:
            while chunk and not self._is_over:
                if self._stream is None:
                    chunk = self._begin(name, chunk)
                if self._stream is not None:
                    yield from self._stream.feed(chunk)
                    if not self._stream.is_done:
                        return
                    chunk, self._stream = self._stream.rest, None
        except (zlib.error, zstandard.ZstdError) as error:
            raise FetchError(f"not {name}: {error}"[:300], outcome="body", retryable=True) from error

    def _begin(self, name: str, chunk: bytes) -> bytes:
        """Begins a stream with what it gives back; without one, what came is behind the last stream."""
        if self._started:
            chunk = (self._between + chunk).lstrip(b"\0")
            self._between = b""
            magic = _MAGIC.get(name)
            if magic is None or not chunk.startswith(magic[: len(chunk)]):
                self._is_over = bool(chunk) or magic is None
                return b""
            if len(chunk) < len(magic):
                self._between = chunk
                return b""
        self._started = True
        self._stream = _Zstd() if name == "zstd" else _Deflated(_WINDOWS[name])
        return chunk

    def _check_names(self) -> str:
        if len(self._names) > 1:
            named = ", ".join(self._names)
            raise _undecodable(
                f"the answer is compressed {len(self._names)} times ({named}): one layer is read"
            )
        if self._names[0] not in _READ.values():
            raise _undecodable(f"the answer is compressed by {self._names[0]}, which was not asked for")
        return self._names[0]


_MAGIC = {"gzip": b"\x1f\x8b\x08", "zstd": b"\x28\xb5\x2f\xfd"}
_WINDOWS = {"gzip": _GZIP_WINDOW, "deflate": _RAW_WINDOW}


def _compressions(content_encodings: Iterable[str]) -> list[str]:
    tokens = [token.strip(" \t\"'").lower() for header in content_encodings for token in header.split(",")]
    return [_READ.get(token, token) for token in tokens if token in _READ or token in _NOT_READ]


def _is_zlib(start: bytes) -> bool:
    """No raw stream begins so: its first block would be stored, with padding that no encoder writes."""
    return start[0] & 0x8F == zlib.DEFLATED and int.from_bytes(start[:_ZLIB_HEADER_BYTES]) % 31 == 0


def _undecodable(detail: str) -> FetchError:
    return FetchError(detail, outcome="encoding", retryable=False)


def _too_large(detail: str) -> FetchError:
    return FetchError(detail, outcome="too_large", retryable=False)
