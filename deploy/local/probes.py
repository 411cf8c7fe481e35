"""Whether a part of the stack answers: one small request each, over raw TCP, so that the supervisor stays
small.
"""

import asyncio
import json
import struct
from collections.abc import Awaitable, Callable

from deploy.local.ports import HOST

Probe = Callable[[], Awaitable[bool]]

PROBE_TIMEOUT_S = 5.0
HTTP_OK = 200
KAFKA_METADATA = 3
KAFKA_METADATA_VERSION = 4
POSTGRES_PROTOCOL_3 = 196_608
MAX_ANSWER_BYTES = 4 * 1024 * 1024


async def kafka_is_ready(port: int) -> bool:
    """Whether the broker lists itself as a member of the cluster; a broker that only listens does not."""
    client = b"onpoint"
    header = struct.pack(">hhih", KAFKA_METADATA, KAFKA_METADATA_VERSION, 1, len(client)) + client
    body = struct.pack(">i?", 0, False)  # no topics, and create none
    answer = await _exchange(port, struct.pack(">i", len(header + body)) + header + body, _read_kafka)
    # correlation id, throttle time, then the number of live brokers
    return answer is not None and len(answer) >= 12 and struct.unpack(">iii", answer[:12])[2] > 0  # noqa: PLR2004


async def postgres_is_ready(port: int, user: str, database: str) -> bool:
    """Whether the server asks for a password; while it starts or recovers it refuses instead."""
    parameters = b"".join(part.encode() + b"\0" for part in ("user", user, "database", database, ""))
    packet = struct.pack(">ii", 8 + len(parameters), POSTGRES_PROTOCOL_3) + parameters
    return await _exchange(port, packet, lambda reader: reader.readexactly(1)) == b"R"


async def http_status(port: int, path: str) -> int | None:
    """The status of a GET, or None if there is no answer."""
    answer = await _get(port, path)
    parts = answer.split(None, 2) if answer else []
    return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else None


async def http_is_ok(port: int, path: str) -> bool:
    """Whether a GET is answered by 200."""
    return await http_status(port, path) == HTTP_OK


async def seaweedfs_is_ready(s3_port: int, master_port: int) -> bool:
    """Whether S3 answers and its volume server has joined: before that, every put fails."""
    if await http_status(s3_port, "/healthz") != HTTP_OK:
        return False
    answer = await _get(master_port, "/dir/status")
    if answer is None:
        return False
    try:
        return int(json.loads(answer.partition(b"\r\n\r\n")[2])["Topology"]["Max"]) > 0
    except (ValueError, KeyError, TypeError):
        return False


async def _get(port: int, path: str) -> bytes | None:
    request = f"GET {path} HTTP/1.0\r\nHost: {HOST}:{port}\r\nConnection: close\r\n\r\n"
    return await _exchange(port, request.encode(), lambda reader: reader.read(MAX_ANSWER_BYTES))


async def _read_kafka(reader: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(min(size, MAX_ANSWER_BYTES))


async def _exchange(
    port: int, request: bytes, read: Callable[[asyncio.StreamReader], Awaitable[bytes]]
) -> bytes | None:
    """Send `request` and read the answer.

    None without a listener, and for an answer that breaks off or takes too long.
    """
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(request)
            await writer.drain()
            return await read(reader)
    except (OSError, EOFError, TimeoutError):
        return None
    finally:
        if writer is not None:
            writer.close()
