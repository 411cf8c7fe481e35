"""A Dask scheduler and workers as processes on loopback, without the local stack around them."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import psutil

from deploy.local.ports import HOST, free_port

ROOT = Path(__file__).parents[2]
WITHIN_S = 40.0


class Part:
    """One process of the cluster."""

    def __init__(self, argv: tuple[str, ...], environment: Mapping[str, str], log_file: Path) -> None:
        self._argv = argv
        self._environment = environment
        self.log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv,
                cwd=self.log_file.parent,
                env=dict(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        return self._process

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def stopped(self) -> None:
        """Once it has been paused by a signal, as at `STOP_AT`."""
        async with asyncio.timeout(WITHIN_S):
            while psutil.Process(self.process.pid).status() != psutil.STATUS_STOPPED:
                await asyncio.sleep(0.02)

    async def ended(self) -> int:
        async with asyncio.timeout(WITHIN_S):
            while (code := self.process.poll()) is None:
                await asyncio.sleep(0.02)
        return code

    def kill(self) -> None:
        """At once; fine if it is gone already."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        """What it has written, over all of its starts."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def forget(self, setting: str) -> None:
        """The next start has no such setting."""
        self._environment = {name: value for name, value in self._environment.items() if name != setting}


class DaskCluster:
    """A context manager that leaves no process behind. Workers get the settings of `environment` and no others."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *,
        workers: int = 2,
        tls: Mapping[str, str] | None = None,
        scheduler: Mapping[str, str] | None = None,
        each: Mapping[int, Mapping[str, str]] | None = None,
    ) -> None:
        """`tls`: the settings of the workers' certificates; the scheduler shows the same. `scheduler`, `each`: more settings
        of it, of one worker.
        """
        self._tls = dict(tls or {})
        self.port = free_port()
        self.address = f"{'tls' if tls else 'tcp'}://{HOST}:{self.port}"
        base = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        base |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        self.scheduler = Part(self._scheduler_argv(), base | dict(scheduler or {}), folder / "scheduler.log")
        self._worker_ports = [free_port() for _ in range(workers)]
        self.workers = [
            Part(
                (sys.executable, "-m", "services.processor.cluster.app"),
                base
                | {
                    name: value
                    for name, value in environment.items()
                    if name.startswith(("AWS_", "ONPOINT_S3", "ONPOINT_STAGING", "ONPOINT_LAKE"))
                }
                | {
                    "ONPOINT_DASK_SCHEDULER_ADDRESS": self.address,
                    "ONPOINT_DASK_WORKER_HOST": HOST,
                    "ONPOINT_HTTP_PORT": str(port),
                    **self._tls,
                    **(each or {}).get(number, {}),
                    **{
                        name: value for name, value in environment.items() if name.startswith("ONPOINT_DASK_")
                    },
                },
                folder / f"worker-{number}.log",
            )
            for number, port in enumerate(self._worker_ports)
        ]

    @property
    def settings(self) -> dict[str, str]:
        """What leads a processor to it."""
        return {"ONPOINT_DASK_SCHEDULER_ADDRESS": self.address, **self._tls}

    def start(self) -> None:
        self.start_scheduler()
        for worker in self.workers:
            worker.start()

    def stop(self) -> None:
        """Kills what runs."""
        for part in (*self.workers, self.scheduler):
            part.kill()

    def start_scheduler(self) -> None:
        self.scheduler.start()
        due_s = time.monotonic() + WITHIN_S
        while not _listens(self.port):
            assert time.monotonic() < due_s, self.scheduler.log()
            assert self.scheduler.process.poll() is None, self.scheduler.log()
            time.sleep(0.05)

    async def ready(self, *numbers: int) -> None:
        """Once these workers (all, if none is named) have joined."""
        for number in numbers or range(len(self.workers)):
            await self._ready(number)

    async def _ready(self, number: int) -> None:
        async with asyncio.timeout(WITHIN_S), aiohttp.ClientSession() as client:
            while True:
                assert self.workers[number].process.poll() is None, self.workers[number].log()
                try:
                    async with client.get(f"http://{HOST}:{self._worker_ports[number]}/readyz") as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientConnectionError:
                    pass
                await asyncio.sleep(0.1)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _scheduler_argv(self) -> tuple[str, ...]:
        flags = (
            ("--tls-ca-file", "ONPOINT_DASK_TLS_CA_FILE"),
            ("--tls-cert", "ONPOINT_DASK_TLS_CERT_FILE"),
            ("--tls-key", "ONPOINT_DASK_TLS_KEY_FILE"),
        )
        tls = tuple(word for flag, name in flags if self._tls for word in (flag, self._tls[name]))
        return (
            *(sys.executable, "-m", "distributed.cli.dask_scheduler"),
            *("--host", self.address.rpartition(":")[0], "--port", str(self.port)),
            *("--no-dashboard", "--dashboard-address", f"{HOST}:0", *tls),
        )


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
