"""Toxiproxy between the services and the components: a program that keeps its own word on how a network fails."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from deploy.local import locks
from deploy.local.fetch import components_folder
from deploy.local.home import create_passable

VERSION = "v2.5.0"
MODULE = f"github.com/Shopify/toxiproxy/v2/cmd/server@{VERSION}"
HOST = "127.0.0.1"
BUILD_TIMEOUT_S = 900
START_TIMEOUT_S = 20.0
ADVICE = (
    "the fault proxy (Toxiproxy) is built with Go: install Go 1.21 or newer, or put its program's path into "
    "ONPOINT_TOXIPROXY"
)

TOXICS: dict[str, dict[str, Any]] = {
    "latency": {"type": "latency", "attributes": {"latency": 300, "jitter": 200}},
    "bandwidth": {"type": "bandwidth", "attributes": {"rate": 64}},
    "reset": {"type": "reset_peer", "attributes": {"timeout": 200}},
    "half_open": {"type": "timeout", "attributes": {"timeout": 0}},
    "slow_close": {"type": "slow_close", "attributes": {"delay": 3000}},
}
"""Milliseconds, and KB/s. `half_open`: connections stand, nothing passes."""


class ProxyError(Exception):
    """The proxy could not be made or started. The message tells what to do."""


def find_or_build(environ: Mapping[str, str]) -> Path:
    """The program; built once for all stacks of a checkout, which takes a minute or two and the network."""
    if named := environ.get("ONPOINT_TOXIPROXY"):
        return Path(named)
    root = components_folder(environ)
    program = root / f"toxiproxy-{VERSION}"
    if program.exists():
        return program
    create_passable(root)
    with locks.held(root / "toxiproxy.lock", wait_s=BUILD_TIMEOUT_S, on_wait=lambda: None):
        if not program.exists():
            _build(program, environ)
    return program


def _build(program: Path, environ: Mapping[str, str]) -> None:
    go = shutil.which("go")
    if go is None:
        raise ProxyError(ADVICE)
    with tempfile.TemporaryDirectory(prefix=".toxiproxy.", dir=program.parent) as folder:
        built = subprocess.run(
            [go, "install", MODULE],
            env={**environ, "GOBIN": folder, "GOFLAGS": "-mod=mod"},
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_S,
            check=False,
        )
        if built.returncode:
            raise ProxyError(f"building Toxiproxy failed: {built.stderr.strip()[-800:]}\n{ADVICE}")
        (Path(folder) / "server").rename(program)


class FaultProxy:
    """A proxy for each component by name; a context manager that starts and ends the program."""

    def __init__(self, program: Path, api_port: int, log_file: Path) -> None:
        self._program = program
        self._port = api_port
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - returns at once
                [str(self._program), "-host", HOST, "-port", str(self._port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.defpath},
            )
        self._http = aiohttp.ClientSession(f"http://{HOST}:{self._port}")
        async with asyncio.timeout(START_TIMEOUT_S):
            while not await self._answers():
                if self._process.poll() is not None:
                    raise ProxyError(f"Toxiproxy ended at once: see {self._log_file}")
                await asyncio.sleep(0.05)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.close()
        if self._process is not None:
            self._process.terminate()
            await asyncio.to_thread(self._process.wait, 10)

    async def add(self, name: str, *, port: int, upstream: int) -> None:
        """Listens on `port` for the component at `upstream`."""
        await self._call(
            "POST",
            "/proxies",
            {"name": name, "listen": f"{HOST}:{port}", "upstream": f"{HOST}:{upstream}", "enabled": True},
        )

    async def break_(self, name: str, how: str) -> None:
        if how == "down":
            await self._enable(name, enabled=False)
            return
        # Both ways: what a client sends, and what it gets.
        for stream in ("upstream", "downstream"):
            await self._call(
                "POST",
                f"/proxies/{name}/toxics",
                {**TOXICS[how], "name": f"{how}-{stream}", "stream": stream},
            )

    async def heal(self, name: str, how: str) -> None:
        if how == "half_open":
            # The proxy dropped what was sent meanwhile. TCP never goes on after a gap: those connections end.
            await self._enable(name, enabled=False)
        if how != "down":
            for stream in ("upstream", "downstream"):
                await self._call("DELETE", f"/proxies/{name}/toxics/{how}-{stream}")
        await self._enable(name, enabled=True)

    async def _enable(self, name: str, *, enabled: bool) -> None:
        await self._call("POST", f"/proxies/{name}", {"enabled": enabled})

    async def _answers(self) -> bool:
        try:
            await self._call("GET", "/version")
        except (aiohttp.ClientError, OSError):
            return False
        return True

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        assert self._http is not None
        async with self._http.request(method, path, json=body) as answer:
            if answer.status >= 400:
                raise ProxyError(f"{method} {path}: {answer.status} {await answer.text()}")
