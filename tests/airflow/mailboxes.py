"""Where notices end up: a Slack webhook and a mail server, each of which records what it receives."""

import asyncio
import json
from typing import Self

from aiohttp import web


class Mailboxes:
    def __init__(self) -> None:
        self.slack: list[str] = []
        self.mail: list[str] = []
        self._runner: web.AppRunner | None = None
        self._smtp: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/{tail:.*}", self._webhook)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._smtp = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        assert self._smtp is not None
        self._smtp.close()
        await self._runner.cleanup()

    def settings(self) -> dict[str, str]:
        """The settings that turn notices on."""
        assert self._runner is not None
        assert self._smtp is not None
        slack = {
            "conn_type": "slackwebhook",
            "schema": "http",
            "host": f"127.0.0.1:{self._runner.addresses[0][1]}",
            "password": "T/B/X",
        }
        smtp = {
            "conn_type": "smtp",
            "host": "127.0.0.1",
            "port": self._smtp.sockets[0].getsockname()[1],
            "extra": {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@example.org"},
        }
        return {
            "AIRFLOW_CONN_ONPOINT_SLACK": json.dumps(slack),
            "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(smtp),
            "ONPOINT_NOTIFY_SLACK_CONN_ID": "onpoint_slack",
            "ONPOINT_NOTIFY_EMAIL": "data@example.org, night@example.org",
        }

    async def _webhook(self, request: web.Request) -> web.Response:
        self.slack.append(str((await request.json())["text"]))
        return web.Response(text="ok")

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail\r\n")
        while line := (await reader.readline()).decode().strip():
            verb = line.split(maxsplit=1)[0].upper()
            if verb == "DATA":
                writer.write(b"354 go on\r\n")
                self.mail.append((await reader.readuntil(b"\r\n.\r\n")).decode())
            writer.write(b"221 bye\r\n" if verb == "QUIT" else b"250 ok\r\n")
            await writer.drain()
            if verb == "QUIT":
                break
        writer.close()
