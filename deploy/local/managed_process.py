"""One process that is kept running: watched, restarted when it dies or hangs, stopped on request."""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.accounts import Account
from deploy.local.backoff import Backoff
from deploy.local.names import Kind, State
from deploy.local.probes import Probe
from deploy.local.process_id import ProcessId
from deploy.local.spawn import kill_group, spawn
from deploy.local.state import ChildState

log = logging.getLogger(__name__)

STARTING_PROBE_S = 0.15
LOST_PROBE_S = 0.5
"""Of a process that was ready and is not: an outage of others may be long."""
READY_PROBE_S = 2.0
HANG_GRACE_S = 5.0
"""How long a hung process has to end by itself; one that does not answer will rarely obey."""


async def _nothing_to_prepare() -> None:
    """Most processes need no preparation."""


@dataclass(frozen=True)
class ProcessSpec:
    """How to start, probe and stop one process."""

    name: str
    kind: Kind
    port: int
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    is_ready: Probe
    is_alive: Probe | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 35.0
    account: Account | None = None
    prepare: Callable[[], Awaitable[None]] = _nothing_to_prepare
    """Runs before each start; an exception ends the whole start of the stack."""


class ManagedProcess:
    """Keeps the process of one `ProcessSpec` running. Owned by one event loop; not for several threads."""

    def __init__(
        self, spec: ProcessSpec, *, log_file: Path, on_change: Callable[[], None], hang_s: float
    ) -> None:
        self.spec = spec
        self.state = ChildState(name=spec.name, kind=spec.kind, port=spec.port)
        self.ready = asyncio.Event()
        """Set while the process is ready."""
        self._log_file = log_file
        self._on_change = on_change
        self._hang_s = hang_s
        self._stopping = asyncio.Event()
        self._order = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._backoff = Backoff()
        self._ready_at: float | None = None

    async def start(self) -> None:
        """Start the process unless it is already kept running. Does not wait until it is ready.

        Raises what the preparation raises, `StackError` above all.
        """
        async with self._order:
            if self._keeper is not None:
                return
            self._stopping.clear()
            self._backoff.reset()
            self._update("starting")
            try:
                await self.spec.prepare()
            except BaseException:
                self._update("stopped")
                raise
            self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Stop the process for good: its stop signal, then SIGKILL. Fine if it does not run."""
        async with self._order:
            self._stopping.set()
            if self._keeper is not None:
                await self._end(self.spec.stop_timeout_s)
                await self._keeper
                self._keeper = None
            self.state.process = None
            self._update("stopped")

    def kill(self) -> None:
        """End the process at once; whether it comes again depends on whether it is being stopped."""
        if self._process is not None:
            kill_group(self._process.pid)

    async def _keep(self) -> None:
        while not self._stopping.is_set():
            self._ready_at = None
            try:
                process = await self._spawn()
            except OSError as error:
                log.error("child_not_started name=%s reason=%s", self.spec.name, error)  # noqa: TRY400
                await self._wait_before_restart(-1)
                continue
            if self._stopping.is_set():
                # Requested while the process was being started.
                await self._end(self.spec.stop_timeout_s)
            watch = asyncio.create_task(self._watch())
            code = await process.wait()
            watch.cancel()
            self.ready.clear()
            self._process = None
            kill_group(process.pid)
            if self._stopping.is_set():
                return
            await self._wait_before_restart(code)

    async def _spawn(self) -> asyncio.subprocess.Process:
        process = await spawn(
            self.spec.argv,
            environment=self.spec.environment,
            log_file=self._log_file,
            account=self.spec.account,
        )
        self._process = process
        self.state.process = ProcessId.of(process.pid)
        self._update("starting")
        log.info("child_started name=%s pid=%d", self.spec.name, process.pid)
        return process

    async def _watch(self) -> None:
        """Follow readiness for as long as the process runs; end the process if it hangs."""
        last_answer = time.monotonic()
        while not self._stopping.is_set():
            if await self.spec.is_ready():
                last_answer = time.monotonic()
                self._became_ready()
            elif self._ready_at is not None:
                if self.state.state == "ready":
                    self.ready.clear()
                    self._update("starting")
                    log.warning("child_not_ready name=%s", self.spec.name)
                if self.spec.is_alive is None or await self.spec.is_alive():
                    last_answer = time.monotonic()
                elif time.monotonic() - last_answer > self._hang_s:
                    log.error(
                        "child_hangs name=%s silent_s=%.0f", self.spec.name, time.monotonic() - last_answer
                    )
                    await self._end(HANG_GRACE_S)
                    return
            await asyncio.sleep(self._probe_delay_s())

    def _probe_delay_s(self) -> float:
        if self.state.state == "ready":
            return READY_PROBE_S
        return STARTING_PROBE_S if self._ready_at is None else LOST_PROBE_S

    def _became_ready(self) -> None:
        if self.state.state != "ready":
            self._update("ready")
            log.info("child_ready name=%s", self.spec.name)
        if self._ready_at is None:
            self._ready_at = time.monotonic()
        self.ready.set()

    async def _wait_before_restart(self, code: int) -> None:
        healthy_s = 0.0 if self._ready_at is None else time.monotonic() - self._ready_at
        delay_s = self._backoff.next_delay_s(healthy_s=healthy_s)
        self.state.restarts += 1
        self.state.process = None
        self._update("restarting")
        log.error(
            "child_exited name=%s code=%d restarts=%d restart_in_s=%.1f",
            self.spec.name,
            code,
            self.state.restarts,
            delay_s,
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()

    async def _end(self, timeout_s: float) -> None:
        process = self._process
        if process is None:
            return
        self._signal(process.pid, self.spec.stop_signal)
        # A stopped process (SIGSTOP) takes its signal only when it runs again.
        self._signal(process.pid, signal.SIGCONT)
        try:
            async with asyncio.timeout(timeout_s):
                await process.wait()
        except TimeoutError:
            log.warning("child_killed name=%s timeout_s=%.0f", self.spec.name, timeout_s)
            kill_group(process.pid)
            await process.wait()

    def _signal(self, pid: int, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def _update(self, state: State) -> None:
        self.state.state = state
        self._on_change()
