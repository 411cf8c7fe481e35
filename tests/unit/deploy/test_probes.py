"""A part is ready when it does its work, not when it listens."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from deploy.local import probes
from deploy.local.ports import HOST


@asynccontextmanager
async def answering(*answers: bytes, silent: bool = False) -> AsyncIterator[int]:
    """A server that reads a request and gives the next answer; the last one again and again."""
    left = list(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        if silent:
            await reader.read()
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        writer.close()

    server = await asyncio.start_server(answer, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def metadata(brokers: int) -> bytes:
    body = struct.pack(">iii", 1, 0, brokers) + b"the rest"
    return struct.pack(">i", len(body)) + body


@pytest.mark.parametrize(
    ("answer", "ready"),
    [
        (metadata(1), True),
        (metadata(0), False),
        (b"", False),
        (b"\0\0", False),
        (struct.pack(">i", 4), False),
    ],
)
async def test_kafka(answer: bytes, ready: bool) -> None:
    async with answering(answer) as port:
        assert await probes.kafka_is_ready(port) is ready


@pytest.mark.parametrize(
    ("answer", "ready"),
    [(b"R\0\0\0\x17", True), (b"EFATAL: the database system is starting up", False), (b"", False)],
)
async def test_postgres(answer: bytes, ready: bool) -> None:
    async with answering(answer) as port:
        assert await probes.postgres_is_ready(port, "u", "d") is ready


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\n", 200),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\nx", 503),
        (b"", None),
        (b"garbage", None),
        (b"HTTP/1.1 abc\r\n\r\n", None),
    ],
)
async def test_http(answer: bytes, status: int | None) -> None:
    async with answering(answer) as port:
        assert await probes.http_status(port, "/readyz") == status
        assert await probes.http_is_ok(port, "/readyz") is (status == 200)


@pytest.mark.parametrize(
    ("topology", "ready"),
    [
        (b'{"Topology": {"Max": 8}}', True),
        (b'{"Topology": {"Max": 0}}', False),
        (b"{}", False),
        (b"<", False),
    ],
)
async def test_seaweedfs_waits_for_its_volumes(topology: bytes, ready: bool) -> None:
    async with (
        answering(b"HTTP/1.0 200 OK\r\n\r\n") as s3,
        answering(b"HTTP/1.0 200 OK\r\n\r\n" + topology) as master,
    ):
        assert await probes.seaweedfs_is_ready(s3, master) is ready


async def test_a_port_without_a_server_is_not_ready() -> None:
    async with answering(b"") as port:
        pass
    assert not await probes.kafka_is_ready(port)
    assert not await probes.postgres_is_ready(port, "u", "d")
    assert not await probes.seaweedfs_is_ready(port, port)


async def test_silence_is_not_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PROBE_TIMEOUT_S", 0.1)
    async with answering(b"", silent=True) as port:
        assert await probes.http_status(port, "/livez") is None
