"""Reads the headers of answers leniently, within bounds, and passes them to aiohttp's parser in their plainest form.

That parser is stricter than curl and Python's http.client: it ends an answer for an odd header that has no use here.
The body is left to it.
"""

import re
from asyncio import AbstractEventLoop
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

MAX_LINE_BYTES = 64 * 1024
"""As http.client takes."""

MAX_HEAD_BYTES = 512 * 1024
"""All headers together, those of interim answers too."""

MAX_HEADERS = 1000
MAX_INTERIM = 100

_VERSION = b"HTTP/"
_END = re.compile(rb"\n\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/(\d[\d.]*)[ \t]+\+?0*(\d{3})(?:[ \t][^\n]*)?")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LENGTH = re.compile(rb"\+?(\d+)")
_NO_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_MOST_DIGITS = 18
_SWITCHED = 101
_CHUNKS_END = b"\r\n0\r\n\r\n"


class InvalidResponseError(aiohttp.ClientError):
    """What came is not an HTTP response. The message is for users."""


class ResponseHead:
    """Status line and headers. Raises `InvalidResponseError`."""

    def __init__(self, raw: bytes) -> None:
        first, *lines = raw.split(b"\n")
        if max(map(len, (first, *lines))) >= MAX_LINE_BYTES:
            raise InvalidResponseError(f"a header of the answer is longer than {MAX_LINE_BYTES} bytes")
        if len(lines) > MAX_HEADERS:
            raise InvalidResponseError(f"the answer has more than {MAX_HEADERS} headers")
        found = _STATUS_LINE.fullmatch(first.strip())
        if found is None or int(found[2]) < 100:  # noqa: PLR2004 - the least status there is
            raise InvalidResponseError(f"the answer does not begin as HTTP does: {_shown(first)}")
        self.status = int(found[2])
        self._version = b"1.0" if found[1] in (b"1.0", b"0.9") else b"1.1"
        headers = list(_headers(lines))
        self._others = [header for header in headers if header[0].lower() not in _FRAMING]
        self.is_chunked = any(
            b"chunked" in value.lower() for name, value in headers if name.lower() == b"transfer-encoding"
        )
        self._length = _length(value for name, value in headers if name.lower() == b"content-length")

    def plain(self) -> bytes:
        """As any parser takes it: at most one length, no reason phrase, only headers."""
        lines = [b"HTTP/%b %d " % (self._version, self.status)]
        lines += [b"%b: %b" % header for header in self._others]
        if self.is_chunked:
            lines.append(b"Transfer-Encoding: chunked")
        elif self._length is not None:
            lines.append(b"Content-Length: %d" % self._length)
        return b"\r\n".join([*lines, b"", b""])


class LenientResponseHandler(ResponseHandler):
    """aiohttp's protocol of a connection, with lenient headers."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        super().__init__(loop)
        self._head: bytearray | None = None
        self._seen = 0
        self._left = self._interim = 0
        self._end_of_chunks: bytes | None = None

    def set_response_params(self, **params: Any) -> None:
        """A request is about to be sent: a head is expected."""
        self._head, self._seen, self._left = bytearray(), 0, MAX_HEAD_BYTES
        self._interim, self._end_of_chunks = 0, None
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        if self._head is None or not data:
            self._pass_on(data)
            return
        self.start_timeout()
        self._head += data
        try:
            self._read_head()
        except InvalidResponseError as error:
            if self.transport is not None:
                self.transport.close()
            self.set_exception(error)

    def eof_received(self) -> None:
        """Some servers forget what follows the size of the last chunk."""
        if self._end_of_chunks is not None:
            for missing in (b"\r\n", b"\r\n\r\n"):
                if self._end_of_chunks.endswith(_CHUNKS_END.removesuffix(missing)):
                    super().data_received(missing)
                    break
        super().eof_received()

    def set_exception(self, exc: BaseException, *cause: Any) -> None:
        """Also fails the body that is being read, where the parser failed."""
        payload = self._payload
        if payload is not None and not payload.is_eof() and payload.exception() is None:
            payload.set_exception(exc, *cause)
        super().set_exception(exc, *cause)

    def _read_head(self) -> None:
        while self._head is not None:
            head = self._head
            while head.startswith((b"\r\n", b"\n")):
                del head[: head.index(b"\n") + 1]
            begin = bytes(head[:64]).lstrip()
            if begin[: len(_VERSION)] != _VERSION[: len(begin)]:
                raise InvalidResponseError(f"the answer does not begin as HTTP does: {_shown(bytes(head))}")
            end = _END.search(head, max(0, self._seen - len(b"\n\r\n")))
            self._seen = len(head)
            if (end.end() if end else len(head)) > self._left:
                raise InvalidResponseError(
                    f"the headers of the answer are longer than {MAX_HEAD_BYTES} bytes"
                )
            if end is None:
                return
            self._left -= end.end()
            self._seen = 0
            self._take(ResponseHead(bytes(head[: end.start()])), bytes(head[end.end() :]))

    def _take(self, head: ResponseHead, rest: bytes) -> None:
        if head.status < 200 and head.status != _SWITCHED:  # noqa: PLR2004 - interim answers
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise InvalidResponseError(f"more than {MAX_INTERIM} interim answers came instead of one")
            self._head = bytearray(rest)
            return
        self._head = None
        if head.is_chunked:
            self._end_of_chunks = b"\r\n"
        super().data_received(head.plain())
        if rest:
            self._pass_on(rest)

    def _pass_on(self, data: bytes) -> None:
        if self._end_of_chunks is not None:
            self._end_of_chunks = (self._end_of_chunks + data[-len(_CHUNKS_END) :])[-len(_CHUNKS_END) :]
        super().data_received(data)


def _headers(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Lines that are not headers are skipped; a line that begins with a blank continues the one before."""
    headers: list[tuple[bytes, bytes]] = []
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            if headers:
                name, value = headers[-1]
                headers[-1] = name, b"%b %b" % (value, _value(line))
            continue
        name, colon, value = line.partition(b":")
        name = name.strip()
        if colon and _NAME.fullmatch(name):
            headers.append((name, _value(value)))
    return headers


def _value(raw: bytes) -> bytes:
    return _NO_VALUE.sub(b" ", raw).strip()


def _length(values: Any) -> int | None:
    """None where there is none that can be read: then the body ends with the connection. Raises `InvalidResponseError`."""
    texts = {text.strip() for value in values for text in value.split(b",")}
    lengths = {int(found[1][:_MOST_DIGITS]) for text in texts if (found := _LENGTH.fullmatch(text))}
    if len(lengths) > 1:
        named = " and ".join(map(str, sorted(lengths)[:2]))
        raise InvalidResponseError(f"the answer gives its length as {named}")
    return next(iter(lengths), None)


def _shown(raw: bytes) -> str:
    return ascii(raw[:60].split(b"\n")[0].decode("latin-1").strip())
