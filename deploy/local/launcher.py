"""Starts a supervisor for a home, waits for it, ends it: what `onpoint up` and `onpoint down` do."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from deploy.local import dask, fetch, locks, observe, ports, postgres_versions, tools
from deploy.local.accounts import remove_place
from deploy.local.client_settings import ClientSettings
from deploy.local.config import ProxyPorts, StackConfig
from deploy.local.credentials import load_or_create
from deploy.local.environment import (
    DASK_ADDRESS,
    DEFAULT_LAKE_BUCKET,
    DEFAULT_STAGING_BUCKET,
    client_environment,
    dask_address,
    mark_of,
    overrides_from,
)
from deploy.local.errors import StackError
from deploy.local.home import OWNER_ONLY, PROJECT_ROOT, Home
from deploy.local.logfiles import last_lines
from deploy.local.names import STEPS, SUPERVISOR
from deploy.local.orphans import end_orphans, find_orphans
from deploy.local.process_id import ProcessId
from deploy.local.seaweedfs import remove_sockets
from deploy.local.sockets import remove_socket_folder
from deploy.local.state import StackState, running_state
from deploy.local.waiting import POLL_S, wait_for
from shared.events.topology import SERVICES

Report = Callable[[str], None]

HANG_SETTING = "ONPOINT_LOCAL_HANG_S"
DEFAULT_HANG_S = 60.0
LAUNCH_WAIT_S = fetch.FETCH_TIMEOUT_S + 60.0
"""A first start may fetch the components all this time."""
SUPERVISOR_START_S = 60.0
STOP_WAIT_S = 120.0
LINES_SHOWN = 20


@dataclass(frozen=True)
class Request:
    """What the caller of a start wants."""

    home: Home
    environ: Mapping[str, str] = field(repr=False)
    services: tuple[str, ...] = SERVICES
    parent: ProcessId | None = None
    """The stack ends with this process."""
    proxy_ports: ProxyPorts | None = None
    dask_workers: int = 0
    """Of a Dask cluster of the stack's own; 0: none."""
    cdc: bool = False
    """Whether it captures changes of its tables."""
    observe: bool = False
    """Whether Prometheus and Alertmanager watch it."""


def prepare(request: Request, report: Report) -> None:
    """Make everything ready for a supervisor: programs, components, free ports, secrets, configuration.

    Ends what an earlier supervisor left. The caller holds the launch lock. Raises `StackError` with advice.
    """
    home, environ = request.home, request.environ
    home.create()
    ended = end_orphans(home)
    if ended:
        report(f"ended what an earlier stack left: {', '.join(ended)}")
    java = tools.find_java(environ)
    weed = tools.find_weed(environ)
    hang_s = _hang_s(environ)
    if request.dask_workers:
        dask.require_dask()
    postgres_version = postgres_versions.chosen_version(environ)
    components = fetch.fetch(environ, report)
    programs = fetch.fetch_postgres(postgres_version, environ, report)
    plugins = fetch.fetch_debezium(environ, report) if request.cdc else None
    observation = observe.choose(environ, report) if request.observe else None
    chosen = ports.choose(home, environ)
    ports.require_free(
        chosen,
        services=request.services,
        dask=bool(request.dask_workers),
        cdc=request.cdc,
        observe=request.observe,
    )
    config = StackConfig(
        ports=chosen,
        services=request.services,
        staging_bucket=environ.get("ONPOINT_STAGING_BUCKET") or DEFAULT_STAGING_BUCKET,
        lake_bucket=environ.get("ONPOINT_LAKE_BUCKET") or DEFAULT_LAKE_BUCKET,
        overrides=overrides_from(environ),
        java=java,
        weed=weed,
        kafka_jars=components.kafka,
        postgres_programs=programs,
        postgres_version=postgres_version,
        hang_s=hang_s,
        parent=request.parent,
        proxy_ports=request.proxy_ports,
        connect_plugins=plugins,
        observe=observation,
        dask_worker_ports=ports.free_ports(request.dask_workers, chosen),
    )
    own = {DASK_ADDRESS: dask_address(config)} if config.dask_worker_ports else {}
    addresses = client_environment(home, config, load_or_create(home))
    ClientSettings(addresses, config.overrides | own).save(home)
    config.save(home)
    home.state_file.unlink(missing_ok=True)


def launch(request: Request, report: Report) -> subprocess.Popen[bytes] | None:
    """Start a supervisor in the background.

    None if one runs already, also one that another caller has just started. Waits for one that is stopping.
    """
    home = request.home
    home.create()
    with launching(home, report):
        if is_running(home):
            return None
        prepare(request, report)
        supervisor = _spawn_supervisor(request)
        # Under the lock, so that the next caller finds either no supervisor or one with a state file.
        wait_for(
            lambda: StackState.load(home) is not None or supervisor.poll() is not None,
            timeout_s=SUPERVISOR_START_S,
            what="the supervisor",
        )
        if StackState.load(home) is None:
            lines = last_lines(home.log_file(SUPERVISOR), LINES_SHOWN)
            raise StackError("\n".join(["the supervisor ended at once; its last lines:", *lines]))
        return supervisor


def launching(home: Home, report: Report) -> AbstractContextManager[None]:
    """The lock under which a home's stack is started or ended."""
    return locks.held(
        home.launch_lock,
        wait_s=LAUNCH_WAIT_S,
        on_wait=lambda: report("waiting: another command starts or stops the stack"),
    )


def is_running(home: Home) -> bool:
    """Whether a supervisor has the home and means to keep it; one that is stopping is waited for."""
    state = running_state(home)
    if state is not None and state.phase in {"stopping", "stopped", "failed"}:
        wait_for(lambda: state.supervisor.find() is None, timeout_s=STOP_WAIT_S, what="the stack to stop")
    # A killed supervisor's threads may hold its lock for a moment longer than its process seems to live.
    wait_for(
        lambda: not locks.is_held(home.supervisor_lock) or running_state(home) is not None,
        timeout_s=SUPERVISOR_START_S,
        what="the state of the supervisor",
    )
    return locks.is_held(home.supervisor_lock)


def goes_on_starting(home: Home) -> bool:
    """Whether there is a supervisor that means to keep the home, also one without a state file yet."""
    state = running_state(home)
    if state is not None:
        return state.phase in {"starting", "ready"}
    return any(left.name == SUPERVISOR for left in find_orphans(home))


def wait_until_ready(home: Home, *, timeout_s: float) -> Iterator[str]:
    """Wait for the stack; yields a line for each thing that comes up, nothing if all is up already.

    Raises `StackError` with the reason if the start fails or is stopped, or if time is over; in the last case
    the stack goes on starting.
    """
    deadline = time.monotonic() + timeout_s
    told: set[str] = set()
    state = StackState.load(home)
    if state is not None and state.phase == "ready":
        return
    while True:
        state = StackState.load(home)
        for line in _progress(state) if state else ():
            if line not in told:
                told.add(line)
                yield line
        if state is not None and state.phase == "ready":
            return
        _raise_if_over(home, state)
        if time.monotonic() > deadline:
            raise StackError(_late(home, state, timeout_s))
        time.sleep(POLL_S)


def shut_down(home: Home, report: Report, *, wipe: bool = False) -> bool:
    """Stop the home's stack and leave no process of it. False if nothing ran.

    `wipe` removes its data, logs and secrets as well. A stack that is started meanwhile is left alone.
    Raises `StackError`, having done nothing, where the folder is not a stack's, and with `wipe` where it contains other
    things, too.
    """
    if not home.was_started():
        return bool(end_orphans(home))
    if wipe:
        home.refuse_if_foreign("move them elsewhere first; nothing was removed")
    state = running_state(home)
    if state is not None:
        report("stopping")
        _stop_supervisor(state.supervisor)
    if not home.path.exists():
        return bool(end_orphans(home))
    with launching(home, report):
        if is_running(home):
            return True
        ended = end_orphans(home)
        _remove_sockets(home)
        if wipe:
            remove_place(home)
            home.wipe()
    return state is not None or bool(ended)


def _spawn_supervisor(request: Request) -> subprocess.Popen[bytes]:
    home = request.home
    descriptor = os.open(home.log_file(SUPERVISOR), os.O_WRONLY | os.O_CREAT | os.O_APPEND, OWNER_ONLY)
    try:
        return subprocess.Popen(  # noqa: S603  (this very interpreter)
            [sys.executable, "-m", "deploy.local.supervisor", str(home.path)],
            cwd=PROJECT_ROOT,
            env={**request.environ, **mark_of(home, SUPERVISOR)},
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)


STEP_DONE = {
    "buckets": "buckets are made",
    "topics": "topics are applied",
    "migrate": "migrations are applied",
    "cdc": "change capture is registered",
}


def _progress(state: StackState) -> Iterator[str]:
    for child in state.children:
        if child.state == "ready":
            yield f"{child.name} is ready"
        if child.restarts:
            yield f"{child.name} ended and is restarted ({child.restarts}): see `onpoint logs {child.name}`"
    for step in state.steps:
        yield STEP_DONE[step]
    yield from state.warnings


def _raise_if_over(home: Home, state: StackState | None) -> None:
    if state is None:
        raise StackError(f"{home.state_file} is gone: the stack was wiped while it started")
    gone = state.supervisor.find() is None
    if gone:  # it may have written its error since the state was read
        state = StackState.load(home) or state
    if state.phase == "failed":
        raise StackError(state.error or "the start failed: see `onpoint logs supervisor`")
    if state.phase == "stopped" or (gone and state.phase == "stopping"):
        raise StackError("the stack was stopped while it started")
    if gone:
        raise StackError("the supervisor was killed: see `onpoint logs supervisor`; `onpoint down` cleans up")


def _late(home: Home, state: StackState | None, timeout_s: float) -> str:
    waiting = [step for step in STEPS if step not in state.steps] if state else []
    waiting += [child.name for child in state.children if child.state != "ready"] if state else []
    lines = [f"not ready within {timeout_s:.0f} s: {', '.join(waiting) or 'topics or migrations'}"]
    for name in waiting:
        lines += [f"  {name}: {line}" for line in last_lines(home.log_file(name), 3)]
    lines.append(
        "it goes on starting: look with `onpoint ps` and `onpoint logs`, stop it with `onpoint down`"
    )
    return "\n".join(lines)


def _stop_supervisor(supervisor: ProcessId) -> None:
    process = supervisor.find()
    if process is None:
        return
    process.terminate()
    try:
        wait_for(lambda: supervisor.find() is None, timeout_s=STOP_WAIT_S, what="the supervisor to end")
    except StackError:
        process.kill()


def _remove_sockets(home: Home) -> None:
    remove_socket_folder(home)
    config = StackConfig.find(home)
    if config is not None:
        remove_sockets(config.ports)


def _hang_s(environ: Mapping[str, str]) -> float:
    text = environ.get(HANG_SETTING) or str(DEFAULT_HANG_S)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise StackError(f"{HANG_SETTING} is {text!r}: it must be a number of seconds above 0")
    return seconds
