"""Finds and ends processes of a stack whose supervisor is gone, however it went."""

import contextlib
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from deploy.local.accounts import recorded_place
from deploy.local.environment import MARK
from deploy.local.home import Home
from deploy.local.names import COMPONENTS, SUPERVISOR
from deploy.local.postmaster import postmaster_pid
from deploy.local.seaweedfs import STOP_TIMEOUT_S
from deploy.local.state import StackState

KILL_WAIT_S = 5.0

STOP_S = {SUPERVISOR: 90.0, "kafka": 30.0, "postgres": 30.0, "seaweedfs": STOP_TIMEOUT_S}
"""How long each may take to stop; whatever is not named here is a service or a program of the stack."""

SERVICE_STOP_S = 35.0
"""A service drains its handlers for up to 25 s, then ends its loops, leaves its groups and closes its connections."""

STOP_SIGNALS = {"postgres": signal.SIGINT}
"""PostgreSQL's SIGTERM would wait for its clients."""


@dataclass(frozen=True)
class Orphan:
    """A process that belongs to the home; `name` is the component's, service's or program's."""

    name: str
    process: psutil.Process


def find_orphans(home: Home) -> list[Orphan]:
    """Every running process of the home but the caller: the recorded ones and those that carry its mark."""
    found: dict[int, Orphan] = {}
    state = StackState.load(home)
    for child in state.children if state else []:
        process = child.process.find() if child.process else None
        if process is not None:
            found[process.pid] = Orphan(child.name, process)
    for orphan in (*_marked(home), *_postmasters(home)):
        found.setdefault(orphan.process.pid, orphan)
    return list(found.values())


def end_orphans(home: Home) -> list[str]:
    """End what is left, services before components; the names of what was ended. Takes up to two minutes."""
    orphans = find_orphans(home)
    # A supervisor that lost its home would start again what we end, and ends it all itself if it can.
    supervisors = [orphan for orphan in orphans if orphan.name == SUPERVISOR]
    _end(supervisors)
    rest = find_orphans(home) if supervisors else orphans
    _end([orphan for orphan in rest if orphan.name not in COMPONENTS])
    _end([orphan for orphan in rest if orphan.name in COMPONENTS])
    return sorted({orphan.name for orphan in orphans})


def _marked(home: Home) -> Iterable[Orphan]:
    prefix = f"{home.identity}:"
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            mark = process.environ().get(MARK, "")
            if (
                mark.startswith(prefix)
                and process.pid != os.getpid()
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                yield Orphan(mark.removeprefix(prefix), process)


def _postmasters(home: Home) -> Iterable[Orphan]:
    """PostgreSQL may overwrite the memory of its environment: its own pid file names it, too."""
    for folder in (home.data, recorded_place(home)):
        pid = postmaster_pid(folder / "postgres") if folder else None
        if pid is not None:
            with contextlib.suppress(psutil.Error):
                yield Orphan("postgres", psutil.Process(pid))


def _end(orphans: list[Orphan]) -> None:
    """Ask the topmost processes to stop, which stop their own children; kill whatever is left when its time is over."""
    pids = {orphan.process.pid for orphan in orphans}
    for orphan in orphans:
        with contextlib.suppress(psutil.Error):
            if orphan.process.ppid() not in pids:
                orphan.process.send_signal(STOP_SIGNALS.get(orphan.name, signal.SIGTERM))
                # A stopped process (SIGSTOP) takes its signal only when it runs again.
                orphan.process.send_signal(signal.SIGCONT)
    waited_s = 0.0
    for timeout_s in sorted({_stop_s(orphan) for orphan in orphans}):
        due = [orphan.process for orphan in orphans if _stop_s(orphan) == timeout_s]
        _, alive = psutil.wait_procs(due, timeout=timeout_s - waited_s)
        waited_s = timeout_s
        for process in alive:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(alive, timeout=KILL_WAIT_S)


def _stop_s(orphan: Orphan) -> float:
    return STOP_S.get(orphan.name, SERVICE_STOP_S)
