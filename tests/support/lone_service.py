"""A service as a process without any component behind it but those that the test names."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from deploy.local.ports import HOST, free_port

ROOT = Path(__file__).parents[2]
WITHIN_S = 30

NOWHERE = f"{HOST}:1"

SETTINGS = {
    "ONPOINT_KAFKA_BOOTSTRAP_SERVERS": NOWHERE,
    "ONPOINT_S3_ENDPOINT_URL": f"http://{NOWHERE}",
    "ONPOINT_STAGING_BUCKET": "staging",
    "ONPOINT_LAKE_BUCKET": "lake",
    "AWS_ACCESS_KEY_ID": "unused",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_REGION": "us-east-1",
}


class LoneService:
    """A context manager that leaves no process behind."""

    def __init__(self, service: str, log_file: Path, **environment: str) -> None:
        self._log_file = log_file
        self._port = free_port()
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("ONPOINT_", "PG"))
        }
        with log_file.open("wb") as log:
            self._process = subprocess.Popen(
                (sys.executable, "-m", f"services.{service}.app"),
                cwd=ROOT,
                env={**inherited, **SETTINGS, "ONPOINT_HTTP_PORT": str(self._port), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def answer(self, path: str, part: str) -> tuple[int, str]:
        """Status and text of a GET, once the text has that part."""
        async with asyncio.timeout(WITHIN_S), aiohttp.ClientSession() as client:
            while True:
                assert self._process.poll() is None, self.log()
                try:
                    async with client.get(f"http://{HOST}:{self._port}{path}") as response:
                        text = await response.text()
                except aiohttp.ClientConnectionError:
                    text = ""
                if part in text:
                    return response.status, text
                await asyncio.sleep(0.1)

    async def exited(self) -> int:
        async with asyncio.timeout(WITHIN_S):
            while (code := self._process.poll()) is None:
                await asyncio.sleep(0.05)
        return code

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def log(self) -> str:
        return self._log_file.read_text(errors="replace")
