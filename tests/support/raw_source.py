"""A source that answers with bytes: whole HTTP answers, written by hand, over a real socket.

`async with RawSource([answer, …]) as source:` gives them in turn, the last one for ever, and closes the connection
after each; `RawSource({"/target": [answer, …]})` does so for each target, and answers others with 404. An answer of
several pieces is sent piece by piece, so that each arrives alone.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Self

Answer = bytes | Sequence[bytes]

PIECE_PAUSE_S = 0.01
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def answer(body: bytes = b"", *headers: bytes, status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """With a Content-Length, unless the headers give its length."""
    is_framed = any(
        header.lower().startswith((b"content-length", b"transfer-encoding")) for header in headers
    )
    length = () if is_framed else (b"Content-Length: %d" % len(body),)
    return b"\r\n".join([status, *headers, *length, b"", body])


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


class RawSource:
    def __init__(self, answers: Sequence[Answer] | Mapping[str, Sequence[Answer]]) -> None:
        self._by_target = (
            {target: list(given) for target, given in answers.items()} if isinstance(answers, Mapping) else {}
        )
        self._others = [NOT_FOUND] if isinstance(answers, Mapping) else list(answers)
        self._server: asyncio.Server | None = None
        self.asked_at_s: list[float] = []
        """Monotonic, of each request."""
        self.targets: list[str] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def allow(self) -> str:
        """The value for ONPOINT_CRAWL_ALLOW_HOSTS."""
        return f"127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            self.asked_at_s.append(time.monotonic())
            self.targets.append(request.split(b" ")[1].decode())
            waiting = self._by_target.get(self.targets[-1], self._others)
            found = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            for piece in [found] if isinstance(found, bytes) else found:
                writer.write(piece)
                await writer.drain()
                if not isinstance(found, bytes):
                    await asyncio.sleep(PIECE_PAUSE_S)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
