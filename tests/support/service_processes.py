"""Services as processes of the test itself, beside a stack that has none: several of one kind, killed and paused at will."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from deploy.local.config import StackConfig
from deploy.local.credentials import load_or_create
from deploy.local.environment import process_environment
from deploy.local.services import MODULES
from deploy.local.stack import LocalStack

KILLED = 137
POLL_S = 0.05


class ServiceProcess:
    """One process of a service."""

    def __init__(self, service: str, process: subprocess.Popen[bytes], log_file: Path) -> None:
        self.service = service
        self.pid = process.pid
        self._process = process
        self._log_file = log_file

    async def ready(self, within_s: float = 180) -> Self:
        await self._until(lambda: '"event": "ready"' in self.log(), within_s, "ready")
        return self

    async def paused(self, within_s: float) -> None:
        """Until it is stopped by SIGSTOP."""
        process = psutil.Process(self.pid)
        await self._until(lambda: process.status() == psutil.STATUS_STOPPED, within_s, "paused")

    async def exited(self, within_s: float) -> int:
        await self._until(lambda: self._process.poll() is not None, within_s, "gone", may_exit=True)
        return self._process.wait()

    def is_running(self) -> bool:
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def stop(self, within_s: float = 40) -> int:
        """In order; a paused one goes on first."""
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)
        return await self.exited(within_s)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def log(self) -> str:
        return self._log_file.read_text(errors="replace")

    async def _until(
        self, condition: Callable[[], bool], within_s: float, what: str, *, may_exit: bool = False
    ) -> None:
        try:
            async with asyncio.timeout(within_s):
                while not condition():
                    assert may_exit or self.is_running(), f"{self.service} exited:\n{self.log()[-3000:]}"
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise AssertionError(
                f"{self.service} is not {what} within {within_s} s:\n{self.log()[-3000:]}"
            ) from None


class ServiceProcesses:
    """Starts replicas on a stack's components; a context manager that leaves none behind."""

    def __init__(self, stack: LocalStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self._processes: list[ServiceProcess] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for replica in self._processes:
            replica.kill()

    def start(self, service: str, **environment: str) -> ServiceProcess:
        home = self._stack.home
        own = process_environment(service, home, StackConfig.load(home), load_or_create(home))
        log_file = self._folder / f"{len(self._processes):03d}-{service}.log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                (sys.executable, "-m", MODULES.get(service, f"services.{service}.app")),
                env={**own, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        replica = ServiceProcess(service, process, log_file)
        self._processes.append(replica)
        return replica
