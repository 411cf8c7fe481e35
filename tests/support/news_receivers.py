"""Where news ends up: a web server and a mail server, real ones on loopback, that record what they receive."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass(slots=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class WebReceiver:
    url: str = ""
    received: list[Received] = field(default_factory=list)
    answers: list[web.Response] = field(default_factory=list)
    """Given in turn; 200 once there are no more."""
    delay_s: float = 0.0

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(request.path, headers, await request.read()))
        await asyncio.sleep(self.delay_s)
        return self.answers.pop(0) if self.answers else web.Response(text="ok")

    async def wait_for(self, count: int, within_s: float = 60) -> None:
        async with asyncio.timeout(within_s):
            while len(self.received) < count:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def web_receiver() -> AsyncIterator[WebReceiver]:
    receiver = WebReceiver()
    app = web.Application()
    app.router.add_post("/{tail:.*}", receiver.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@dataclass(slots=True)
class MailReceiver:
    host: str = "127.0.0.1"
    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    """Given to the data of mails in turn; taken once there are no more."""
    login: tuple[str, str] | None = None

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - of the library
        if self.answers:
            return self.answers.pop(0)
        content = envelope.content
        assert isinstance(content, bytes)
        mail = message_from_bytes(content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.recipients += envelope.rcpt_tos
        return "250 taken"

    def authenticate(
        self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        is_right = (data.login.decode(), data.password.decode()) == self.login
        return AuthResult(success=is_right, handled=is_right)


@asynccontextmanager
async def mail_receiver(
    *, tls: ssl.SSLContext | None = None, at_once: bool = False, login: tuple[str, str] | None = None
) -> AsyncIterator[MailReceiver]:
    """With `tls` the server offers STARTTLS and insists on it; `at_once`: it speaks TLS from the first byte on."""
    receiver = MailReceiver(login=login)
    options: dict[str, Any] = {"enable_SMTPUTF8": True}
    if tls is not None and not at_once:
        options |= {"tls_context": tls, "require_starttls": True}
    if login is not None:
        options |= {"authenticator": receiver.authenticate, "auth_required": True}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(receiver, hostname="mail", loop=loop, **options),
        receiver.host,
        0,
        ssl=tls if at_once else None,
    )
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
