"""Applies the plan's faults to a running stack, each at its time, and records when each began and ended."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil

from deploy.local.config import StackConfig
from deploy.local.credentials import load_or_create
from deploy.local.environment import HTTP_PORT, process_environment
from deploy.local.errors import NotRunningError
from deploy.local.home import PROJECT_ROOT
from deploy.local.probes import http_is_ok
from deploy.local.stack import LocalStack
from tests.chaos.plan import COMPONENT_OF, Fault
from tests.chaos.ports import free_ports
from tests.chaos.proxy import FaultProxy

VICTIM_WAIT_S = 30.0
"""A service that is being restarted is waited for: the plan wants it killed."""
PEER_START_S = 20.0
"""During an outage no peer becomes ready; the pause comes all the same."""
PEER_STAYS_S = 5.0
"""After the paused process woke up: both are members, and one has to give way."""


@dataclass
class Strike:
    """A fault as it happened; seconds after the first request."""

    fault: Fault
    began_s: float
    ended_s: float | None = None
    """When a component was ready again, a paused process woke up, a network healed; None for a kill."""
    pid: int | None = None
    note: str = ""


class Injector:
    def __init__(
        self,
        stack: LocalStack,
        proxy: FaultProxy,
        began_s: float,
        report: Callable[[str], None],
        on_broker_back: Callable[[int], None],
    ) -> None:
        self._stack = stack
        self._proxy = proxy
        self._began_s = began_s
        self._report = report
        self._on_broker_back = on_broker_back
        self._locks = {name: asyncio.Lock() for name in COMPONENT_OF.values()}
        self.strikes: list[Strike] = []

    async def run(self, faults: tuple[Fault, ...]) -> None:
        """Returns when the last fault is over."""
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(max(0.0, self._began_s + fault.at_s - time.monotonic()))
                group.create_task(self._strike(fault))

    async def _strike(self, fault: Fault) -> None:
        strike = Strike(fault, self._now_s())
        self.strikes.append(strike)
        self._report(str(fault))
        match fault.kind:
            case "kill":
                await self._kill(strike)
            case "pause":
                await self._pause(strike)
            case "network":
                await self._break_network(strike)
            case _:
                await self._take_down(strike)

    async def _kill(self, strike: Strike) -> None:
        await self._signal(strike, signal.SIGKILL)

    async def _pause(self, strike: Strike) -> None:
        """Stops the process with SIGSTOP while a peer handles its partitions; it resumes as a zombie."""
        name = strike.fault.target
        (port,) = free_ports(1)
        peer = await asyncio.to_thread(self._start_peer, name, port)
        try:
            ready = await _is_ready(port)
            process = await self._signal(strike, signal.SIGSTOP)
            if process is not None:
                await asyncio.sleep(strike.fault.duration_s)
                # Another fault may have killed it while it was stopped.
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()
                strike.ended_s = self._now_s()
                await asyncio.sleep(PEER_STAYS_S)
        finally:
            peer.terminate()
            code = await asyncio.to_thread(peer.wait, 40)
        if process is not None:
            strike.note = f"its peer ended with code {code}" if ready else "its peer was not ready in time"

    async def _take_down(self, strike: Strike) -> None:
        name = COMPONENT_OF[strike.fault.kind]
        async with self._locks[name]:
            strike.began_s = self._now_s()
            hard = {"SIGKILL": signal.SIGKILL, "immediate": signal.SIGQUIT}.get(strike.fault.how)
            if hard is not None:
                strike.pid = await asyncio.to_thread(self._stack.kill, name, hard)
            await asyncio.to_thread(self._stack.stop, name)
            await asyncio.sleep(strike.fault.duration_s)
            await asyncio.to_thread(self._stack.start, name)
            strike.ended_s = self._now_s()
        if strike.fault.kind == "broker":
            self._on_broker_back(strike.fault.number)

    async def _break_network(self, strike: Strike) -> None:
        fault = strike.fault
        await self._proxy.break_(fault.target, fault.how)
        await asyncio.sleep(fault.duration_s)
        await self._proxy.heal(fault.target, fault.how)
        strike.ended_s = self._now_s()

    async def _signal(self, strike: Strike, number: signal.Signals) -> psutil.Process | None:
        """The process that got the signal; of a service that is down at the moment, the next one. None: there was none."""
        deadline_s = time.monotonic() + VICTIM_WAIT_S
        while time.monotonic() < deadline_s:
            with contextlib.suppress(NotRunningError, psutil.NoSuchProcess):
                process = self._stack.process(strike.fault.target)
                strike.began_s = self._now_s()
                process.send_signal(number)
                strike.pid = process.pid
                return process
            await asyncio.sleep(0.1)
        strike.note = "it had no process"
        return None

    def _start_peer(self, name: str, port: int) -> subprocess.Popen[bytes]:
        """A second replica, outside the supervisor's watch."""
        home = self._stack.home
        environment = process_environment(name, home, StackConfig.load(home), load_or_create(home))
        with home.log_file(f"{name}-peer").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"services.{name}.app"],
                cwd=PROJECT_ROOT,
                env=environment | {HTTP_PORT: str(port)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _now_s(self) -> float:
        return round(time.monotonic() - self._began_s, 2)


async def _is_ready(port: int) -> bool:
    deadline_s = time.monotonic() + PEER_START_S
    while time.monotonic() < deadline_s:
        if await http_is_ok(port, "/readyz"):
            return True
        await asyncio.sleep(0.2)
    return False


def as_json(strike: Strike) -> dict[str, Any]:
    fault = strike.fault
    return {
        "number": fault.number,
        "kind": fault.kind,
        "target": fault.target,
        "how": fault.how,
        "planned_at_s": fault.at_s,
        "duration_s": fault.duration_s,
        "began_s": strike.began_s,
        "ended_s": strike.ended_s,
        "note": strike.note,
    }
