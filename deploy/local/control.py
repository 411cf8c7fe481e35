"""Orders to a running supervisor: one JSON line each way over a unix socket that only its owner can open."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from deploy.local.errors import NotRunningError, StackError
from deploy.local.home import Home
from deploy.local.sockets import socket_folder

SOCKET_NAME = "control.sock"
REQUEST_TIMEOUT_S = 10.0
ORDER_TIMEOUT_S = 90.0
"""Longer than any process may take to stop."""

log = logging.getLogger(__name__)


class Order(BaseModel):
    """Stop, start or restart one component or service. A stopped one stays stopped until it is started."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    do: Literal["start", "stop", "restart"]
    name: str


class Reply(BaseModel):
    """Why an order was refused, nothing if it was carried out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    error: str | None = None


async def serve(folder: Path, obey: Callable[[Order], Awaitable[None]]) -> asyncio.Server:
    """Listen for orders; `obey` raises `StackError` for one it refuses, and the sender gets its message."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                line = await reader.readline()
            await obey(Order.model_validate_json(line))
            reply = Reply()
        except (StackError, ValidationError) as error:
            reply = Reply(error=str(error))
        except (TimeoutError, ValueError, OSError) as error:
            reply = Reply(error=f"the order was not understood: {error}")
        writer.write(reply.model_dump_json().encode() + b"\n")
        writer.close()

    path = folder / SOCKET_NAME
    server = await asyncio.start_unix_server(answer, path=path)
    path.chmod(0o600)
    return server


def send(home: Home, order: Order) -> None:
    """Give an order and wait until it is carried out.

    Raises `NotRunningError` if no supervisor listens, `StackError` with its words if it refuses.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ORDER_TIMEOUT_S)
        try:
            connection.connect(str(socket_folder(home) / SOCKET_NAME))
        except OSError as error:
            raise NotRunningError(
                f"the stack of {home.path} does not run: start it with `onpoint up`"
            ) from error
        connection.sendall(order.model_dump_json().encode() + b"\n")
        with connection.makefile("rb") as reader:
            line = reader.readline()
    if not line:
        message = (
            f"the supervisor ended before it could {order.do} {order.name}: see `onpoint logs supervisor`"
        )
        raise StackError(message)
    refusal = Reply.model_validate_json(line).error
    if refusal is not None:
        raise StackError(refusal)
