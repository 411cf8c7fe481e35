"""The local stack as an object, for tests and programs that need one of their own."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import psutil

from deploy.local import control, launcher
from deploy.local.config import ProxyPorts, StackConfig
from deploy.local.credentials import load_or_create
from deploy.local.environment import client_environment
from deploy.local.errors import NotRunningError, StackError, UnknownNameError
from deploy.local.home import Home
from deploy.local.process_id import ProcessId
from deploy.local.state import StackState
from deploy.local.status import Row, rows
from deploy.local.waiting import wait_for
from shared.events.topology import SERVICES

READY_TIMEOUT_S = 300.0
REAP_TIMEOUT_S = 10.0


class LocalStack:
    """Kafka, PostgreSQL, S3 and the services in a home of their own; a context manager that starts and stops
    them.

    The stack ends with the process that made it, however that ends. Its supervisor is a process of its own,
    so nothing here needs an event loop. Not for several threads.

        with LocalStack(tmp_path, ports="free", services=("loader",)) as stack:
            dsn = stack.environment()["ONPOINT_POSTGRES_DSN"]
            stack.kill("loader")
            stack.wait_ready("loader")
    """

    def __init__(
        self,
        home: Path,
        *,
        ports: Literal["free", "default"] = "free",
        services: tuple[str, ...] = SERVICES,
        extra_env: Mapping[str, str] | None = None,
        proxy_ports: ProxyPorts | None = None,
        dask_workers: int = 0,
        cdc: bool = False,
        observe: bool = False,
        timeout_s: float = READY_TIMEOUT_S,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Nothing is started yet.

        `extra_env` is for the services (`ONPOINT_*`) and wins over this process's environment.
        With `proxy_ports` they reach the components through a proxy of the caller's, which listens there already.
        """
        self.home = Home(home.absolute())
        self._timeout_s = timeout_s
        self._report = report
        self._supervisor: subprocess.Popen[bytes] | None = None
        # Ports named for another stack would be taken by it.
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("ONPOINT_PORT_")
        }
        environ = {
            **inherited,
            **(extra_env or {}),
            "ONPOINT_PORTS": ports,
            "ONPOINT_HOME": str(self.home.path),
        }
        self._request = launcher.Request(
            self.home, environ, services, ProcessId.of_this(), proxy_ports, dask_workers, cdc, observe
        )

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def up(self) -> None:
        """Start the stack and wait until all of it is ready.

        Raises `StackError`, having stopped everything again; also if a stack runs in this home already.
        """
        supervisor = launcher.launch(self._request, self._report)
        if supervisor is None:
            raise StackError(f"a stack runs in {self.home.path} already")
        self._reap()
        self._supervisor = supervisor
        try:
            for line in launcher.wait_until_ready(self.home, timeout_s=self._timeout_s):
                self._report(line)
        except BaseException:
            self.down()
            raise

    def down(self, *, wipe: bool = False) -> None:
        """Stop everything. Fine if nothing runs."""
        launcher.shut_down(self.home, self._report, wipe=wipe)
        self._reap()

    def environment(self) -> dict[str, str]:
        """The settings that lead a client to this stack, as `onpoint env` prints them."""
        return client_environment(self.home, StackConfig.load(self.home), load_or_create(self.home))

    def rows(self) -> list[Row]:
        """What `onpoint ps` shows."""
        return rows(self.home)

    def process(self, name: str) -> psutil.Process:
        """The process of a component or service as it is now. Raises `NotRunningError` while it has none."""
        state = StackState.load(self.home)
        child = state.child(name) if state else None
        if state is not None and child is None:
            known = ", ".join(part.name for part in state.children)
            raise UnknownNameError(f"there is no {name!r} in this stack: it has {known}")
        process = child.process.find() if child and child.process else None
        if process is None:
            raise NotRunningError(f"{name} has no process at the moment")
        return process

    def http_port(self, name: str) -> int:
        """The port of a service's /readyz, /livez and /metrics, or a component's own."""
        return StackConfig.load(self.home).ports.of(name)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal (SIGKILL, SIGSTOP, SIGCONT, …) to the process itself; its pid. The supervisor
        restarts what dies.
        """
        process = self.process(name)
        process.send_signal(number)
        return process.pid

    def stop(self, name: str) -> None:
        """Stop a component or service in order; it stays stopped until `start`. Returns when its process is
        gone.
        """
        control.send(self.home, control.Order(do="stop", name=name))

    def start(self, name: str, *, wait: bool = True) -> None:
        """Start a stopped component or service; waits until it is ready unless told otherwise."""
        control.send(self.home, control.Order(do="start", name=name))
        if wait:
            self.wait_ready(name)

    def restart(self, name: str, *, wait: bool = True) -> None:
        """Stop in order and start again."""
        control.send(self.home, control.Order(do="restart", name=name))
        if wait:
            self.wait_ready(name)

    def wait_ready(self, *names: str, timeout_s: float | None = None, other_than: int | None = None) -> None:
        """Wait until these parts (all, if none is named) are ready, in a process other than the given pid.

        Raises `StackError` when time is over.
        """
        wait_for(
            lambda: self._are_ready(names, other_than),
            timeout_s=self._timeout_s if timeout_s is None else timeout_s,
            what=f"{', '.join(names) or 'the stack'} to be ready",
        )

    def _reap(self) -> None:
        if self._supervisor is not None:
            self._supervisor.wait(REAP_TIMEOUT_S)
            self._supervisor = None

    def _are_ready(self, names: tuple[str, ...], other_than: int | None) -> bool:
        found = [row for row in self.rows() if not names or row.name in names]
        return bool(found) and all(
            row.state == "ready" and row.pid not in {None, other_than} for row in found
        )
