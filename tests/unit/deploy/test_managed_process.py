"""A child is restarted when it ends, and stopped for good only when that is asked for."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from deploy.local import backoff, managed_process
from deploy.local.errors import StackError
from deploy.local.managed_process import ManagedProcess, ProcessSpec

SLEEPER = "import time; time.sleep(60)"
STUBBORN = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""
PARENT = """
import pathlib, subprocess, sys, time
below = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path(sys.argv[1]).write_text(str(below.pid))
time.sleep(60)
"""


class Probes:
    """The child's answers to probes, set by the test."""

    def __init__(self) -> None:
        self.ready = True
        self.alive = True

    async def is_ready(self) -> bool:
        return self.ready

    async def is_alive(self) -> bool:
        return self.alive


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STARTING_PROBE_S", "LOST_PROBE_S", "READY_PROBE_S"):
        monkeypatch.setattr(managed_process, name, 0.02)
    monkeypatch.setattr(backoff, "FIRST_S", 0.02)


@asynccontextmanager
async def running(
    tmp_path: Path, *argv: str, probes: Probes | None = None, hang_s: float = 60, stop_timeout_s: float = 5
) -> AsyncIterator[ManagedProcess]:
    probes = probes or Probes()
    spec = ProcessSpec(
        name="loader",
        kind="service",
        port=1,
        argv=argv,
        environment=os.environ,
        is_ready=probes.is_ready,
        is_alive=probes.is_alive,
        stop_timeout_s=stop_timeout_s,
    )
    child = ManagedProcess(spec, log_file=tmp_path / "loader.log", on_change=lambda: None, hang_s=hang_s)
    await child.start()
    try:
        yield child
    finally:
        await child.stop()


async def until(condition: Callable[[], object], timeout_s: float = 10) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


def pid_of(child: ManagedProcess) -> int:
    assert child.state.process is not None
    return child.state.process.pid


async def test_killed_child_comes_again_in_a_new_process(tmp_path: Path) -> None:
    async with running(tmp_path, sys.executable, "-c", SLEEPER) as child:
        await child.ready.wait()
        first = pid_of(child)
        os.kill(first, signal.SIGKILL)
        await until(lambda: child.state.restarts == 1 and child.state.state == "ready")
        assert pid_of(child) != first


async def test_stopped_child_stays_stopped_until_started(tmp_path: Path) -> None:
    async with running(tmp_path, sys.executable, "-c", SLEEPER) as child:
        await child.ready.wait()
        pid = pid_of(child)
        await child.stop()
        assert (child.state.state, child.state.process, child.state.restarts) == ("stopped", None, 0)
        assert not psutil.pid_exists(pid)
        await asyncio.sleep(0.1)
        assert child.state.process is None
        await child.start()
        await child.ready.wait()
        assert child.state.state == "ready"


async def test_child_that_ignores_its_stop_signal_is_killed(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    async with running(tmp_path, sys.executable, "-c", STUBBORN, str(flag), stop_timeout_s=0.2) as child:
        await until(flag.exists)
        pid = pid_of(child)
        await child.stop()
        assert not psutil.pid_exists(pid)


async def test_paused_child_can_be_stopped(tmp_path: Path) -> None:
    async with running(tmp_path, sys.executable, "-c", SLEEPER) as child:
        await child.ready.wait()
        os.kill(pid_of(child), signal.SIGSTOP)
        async with asyncio.timeout(3):
            await child.stop()


async def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    async with running(tmp_path, sys.executable, "-c", PARENT, str(file)) as child:
        await until(lambda: file.exists() and file.read_text())
        below = int(file.read_text())
        os.kill(pid_of(child), signal.SIGKILL)
        await until(lambda: not _runs(below))


async def test_hung_child_is_replaced(tmp_path: Path) -> None:
    probes = Probes()
    async with running(tmp_path, sys.executable, "-c", SLEEPER, probes=probes, hang_s=0.2) as child:
        await child.ready.wait()
        first = pid_of(child)
        probes.ready = probes.alive = False
        await until(lambda: child.state.restarts == 1)
        assert not _runs(first)


async def test_child_that_is_alive_but_not_ready_is_left_alone(tmp_path: Path) -> None:
    """Its database may be away for an hour; a restart would not bring it back."""
    probes = Probes()
    async with running(tmp_path, sys.executable, "-c", SLEEPER, probes=probes, hang_s=0.1) as child:
        await child.ready.wait()
        probes.ready = False
        await until(lambda: child.state.state == "starting")
        await asyncio.sleep(0.4)
        assert child.state.restarts == 0
        probes.ready = True
        await until(lambda: child.state.state == "ready")


async def test_child_that_was_never_ready_is_given_time(tmp_path: Path) -> None:
    probes = Probes()
    probes.ready = probes.alive = False
    async with running(tmp_path, sys.executable, "-c", SLEEPER, probes=probes, hang_s=0.1) as child:
        await asyncio.sleep(0.4)
        assert (child.state.state, child.state.restarts) == ("starting", 0)


@pytest.mark.parametrize("argv", [(sys.executable, "-c", "raise SystemExit(3)"), ("/nowhere/at/all",)])
async def test_child_that_cannot_run_is_tried_again_and_can_be_stopped(
    tmp_path: Path, argv: tuple[str, ...]
) -> None:
    async with running(tmp_path, *argv) as child:
        await until(lambda: child.state.restarts >= 3)
        await child.stop()
        assert child.state.state == "stopped"


async def test_failed_preparation_leaves_the_child_stopped(tmp_path: Path) -> None:
    async with running(tmp_path, sys.executable, "-c", SLEEPER) as child:
        await child.stop()

        async def refuse() -> None:
            raise StackError("no")

        child.spec = replace(child.spec, prepare=refuse)
        with pytest.raises(StackError, match="no"):
            await child.start()
        assert child.state.state == "stopped"


def test_failures_in_a_row_wait_longer_and_longer() -> None:
    waits = backoff.Backoff()
    first = backoff.FIRST_S
    assert [waits.next_delay_s(healthy_s=0) for _ in range(4)] == [first, 2 * first, 4 * first, 8 * first]
    assert max(waits.next_delay_s(healthy_s=0) for _ in range(20)) == backoff.MAX_S
    assert waits.next_delay_s(healthy_s=backoff.HEALTHY_S) == first
    assert waits.next_delay_s(healthy_s=0) == 2 * first
    waits.reset()
    assert waits.next_delay_s(healthy_s=0) == first


async def test_output_goes_to_the_log(tmp_path: Path) -> None:
    program = "import sys, time; print('out', flush=True); print('err', file=sys.stderr); time.sleep(60)"
    log = tmp_path / "loader.log"
    async with running(tmp_path, sys.executable, "-c", program):
        await until(lambda: log.exists() and log.read_text() == "out\nerr\n")


def _runs(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False
