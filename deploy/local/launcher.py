"""Starts a supervisor for a home, waits for it, ends it: what `onpoint up` and `onpoint down` do."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from deploy.local import fetch, locks, ports, tools
from deploy.local.accounts import recorded_place
from deploy.local.config import StackConfig
from deploy.local.credentials import load_or_create
from deploy.local.environment import DEFAULT_LAKE_BUCKET, DEFAULT_STAGING_BUCKET, overrides_from
from deploy.local.errors import StackError
from deploy.local.home import OWNER_ONLY, PROJECT_ROOT, Home
from deploy.local.leftovers import end_leftovers
from deploy.local.logfiles import last_lines
from deploy.local.names import SERVICES
from deploy.local.state import ProcessId, StackState

Say = Callable[[str], None]

HANG_SETTING = "ONPOINT_LOCAL_HANG_S"
DEFAULT_HANG_S = 60.0
LAUNCH_WAIT_S = 600.0
STOP_WAIT_S = 120.0
POLL_S = 0.05
LINES_SHOWN = 20


@dataclass(frozen=True)
class Request:
    """What the caller of a start wants."""

    home: Home
    environ: Mapping[str, str] = field(repr=False)
    services: tuple[str, ...] = SERVICES
    parent: ProcessId | None = None
    """The stack ends with this process."""


def running_state(home: Home) -> StackState | None:
    """The state of the home's stack if its supervisor runs, else None."""
    state = StackState.load(home)
    return state if state is not None and state.supervisor.find() is not None else None


def prepare(request: Request, say: Say) -> None:
    """Make everything ready for a supervisor: programs, components, free ports, secrets, configuration.

    Ends what an earlier supervisor left. The caller holds the launch lock. Raises `StackError` with advice.
    """
    home, environ = request.home, request.environ
    ended = end_leftovers(home)
    if ended:
        say(f"ended what an earlier stack left: {', '.join(ended)}")
    java = tools.find_java(environ)
    weed = tools.find_weed(environ)
    components = fetch.fetch(environ, say)
    chosen = ports.choose(home, environ)
    ports.require_free(chosen)
    load_or_create(home)
    StackConfig(
        ports=chosen,
        services=request.services,
        staging_bucket=environ.get("ONPOINT_STAGING_BUCKET") or DEFAULT_STAGING_BUCKET,
        lake_bucket=environ.get("ONPOINT_LAKE_BUCKET") or DEFAULT_LAKE_BUCKET,
        overrides=overrides_from(environ),
        java=java,
        weed=weed,
        kafka_jars=components.kafka,
        postgres_programs=components.postgres,
        hang_s=_hang_s(environ),
        parent=request.parent,
    ).save(home)
    home.state_file.unlink(missing_ok=True)


def launch(request: Request, say: Say) -> subprocess.Popen[bytes] | None:
    """Start a supervisor in the background. None if one runs already, also one that another caller has just started."""
    home = request.home
    home.create()
    with locks.held(
        home.launch_lock,
        wait_s=LAUNCH_WAIT_S,
        on_wait=lambda: say("waiting: another command starts or stops the stack"),
    ):
        if locks.is_held(home.supervisor_lock):
            return None
        prepare(request, say)
        descriptor = os.open(home.log_file("supervisor"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, OWNER_ONLY)
        try:
            supervisor = subprocess.Popen(
                [sys.executable, "-m", "deploy.local.supervisor", str(home.path)],
                cwd=PROJECT_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,
            )
        finally:
            os.close(descriptor)
        # Under the lock, so that the next caller finds either no supervisor or one that says who it is.
        _wait_for_state(home, supervisor)
        return supervisor


def wait_until_ready(home: Home, *, timeout_s: float) -> Iterator[str]:
    """Wait for the stack; yields a line for each thing that has come up.

    Raises `StackError` with the reason if the start fails or is stopped, or if time is over; in the last case the
    stack goes on starting.
    """
    began = time.monotonic()
    told: set[str] = set()
    while True:
        state = StackState.load(home)
        for line in _progress(state) if state else ():
            if line not in told:
                told.add(line)
                yield line
        if state is not None and state.phase == "ready":
            return
        _raise_if_over(home, state)
        if time.monotonic() - began > timeout_s:
            raise StackError(_late(home, state, timeout_s))
        time.sleep(POLL_S)


def wait_for(condition: Callable[[], bool], *, timeout_s: float, what: str) -> None:
    """Return when `condition` holds. Raises `StackError` naming `what` when time is over."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            message = f"waited {timeout_s:.0f} s for {what}"
            raise StackError(message)
        time.sleep(POLL_S)


def shut_down(home: Home, say: Say, *, wipe: bool = False) -> bool:
    """Stop the home's stack and leave no process of it. False if none ran. `wipe` removes its data, logs and secrets."""
    if not home.path.exists():
        return False
    state = running_state(home)
    if state is not None:
        say("stopping")
        _stop_supervisor(state.supervisor)
    with locks.held(
        home.launch_lock,
        wait_s=LAUNCH_WAIT_S,
        on_wait=lambda: say("waiting: another command starts or stops the stack"),
    ):
        # A start that got in between belongs to the one who asked for it later.
        ended = [] if locks.is_held(home.supervisor_lock) and state is None else end_leftovers(home)
        if wipe:
            _wipe(home)
    return state is not None or bool(ended)


def _wait_for_state(home: Home, supervisor: subprocess.Popen[bytes]) -> None:
    while StackState.load(home) is None:
        if supervisor.poll() is not None:
            lines = last_lines(home.log_file("supervisor"), LINES_SHOWN)
            raise StackError("\n".join(["the supervisor ended at once; its last lines:", *lines]))
        time.sleep(POLL_S)


def _progress(state: StackState) -> Iterator[str]:
    for child in state.children:
        if child.kind == "component" and child.state == "ready":
            yield f"{child.name} is ready"
    for step in state.steps:
        yield {
            "buckets": "buckets are made",
            "topics": "topics are applied",
            "migrate": "migrations are applied",
        }[step]
    for child in state.children:
        if child.kind == "service" and child.state == "ready":
            yield f"{child.name} is ready"
        if child.restarts:
            yield f"{child.name} ended and is restarted ({child.restarts}): see `onpoint logs {child.name}`"


def _raise_if_over(home: Home, state: StackState | None) -> None:
    if state is None:
        message = f"{home.state_file} is gone: the stack was wiped while it started"
        raise StackError(message)
    if state.phase == "failed":
        raise StackError(state.error or "the start failed: see `onpoint logs supervisor`")
    if state.phase in {"stopping", "stopped"} and state.error is None:
        if state.supervisor.find() is None or state.phase == "stopped":
            message = "the stack was stopped while it started"
            raise StackError(message)
        return
    if state.supervisor.find() is None:
        message = "the supervisor was killed: `onpoint down` cleans up, `onpoint logs supervisor` tells what it did last"
        raise StackError(message)


def _late(home: Home, state: StackState | None, timeout_s: float) -> str:
    waiting = [child.name for child in state.children if child.state != "ready"] if state else []
    lines = [f"not ready within {timeout_s:.0f} s: {', '.join(waiting) or 'topics or migrations'}"]
    for name in waiting:
        tail = last_lines(home.log_file(name), 3)
        lines += [f"  {name}: {line}" for line in tail]
    lines.append(
        "the stack goes on starting: look with `onpoint ps` and `onpoint logs`, stop it with `onpoint down`"
    )
    return "\n".join(lines)


def _stop_supervisor(supervisor: ProcessId) -> None:
    process = supervisor.find()
    if process is None:
        return
    process.terminate()
    deadline = time.monotonic() + STOP_WAIT_S
    while supervisor.find() is not None:
        if time.monotonic() > deadline:
            process.kill()
            return
        time.sleep(POLL_S)


def _wipe(home: Home) -> None:
    """Remove everything but the downloaded components and the lock files, which somebody may be waiting for."""
    place = recorded_place(home)
    if place is not None:
        shutil.rmtree(place, ignore_errors=True)
    for entry in home.path.iterdir():
        if entry.name == "components" or entry.suffix == ".lock":
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _hang_s(environ: Mapping[str, str]) -> float:
    text = environ.get(HANG_SETTING) or str(DEFAULT_HANG_S)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        message = f"{HANG_SETTING} is {text!r}: it must be a number of seconds above 0"
        raise StackError(message)
    return seconds
