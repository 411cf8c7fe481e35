"""Owns every process of one stack from start to end: `python -m deploy.local.supervisor HOME`.

Started by `onpoint up`, which has written the home's configuration before. SIGTERM or SIGINT stops the stack
in order; a second one kills its processes.
"""

import asyncio
import contextlib
import hashlib
import logging
import signal
import sys
import time
from pathlib import Path

from deploy.local import control, locks, logfiles
from deploy.local.config import StackConfig
from deploy.local.connect import connect_specs
from deploy.local.credentials import Credentials, load_or_create
from deploy.local.dask import dask_specs
from deploy.local.errors import StackError, UnknownNameError
from deploy.local.home import PROJECT_ROOT, Home
from deploy.local.kafka import kafka_spec
from deploy.local.managed_process import ManagedProcess, ProcessSpec
from deploy.local.names import CDC_SINK, CDC_STEP
from deploy.local.observe import observe_specs
from deploy.local.orphans import end_orphans
from deploy.local.postgres import postgres_spec
from deploy.local.process_id import ProcessId
from deploy.local.seaweedfs import remove_sockets, seaweedfs_spec
from deploy.local.services import run_step, service_spec
from deploy.local.sockets import make_socket_folder, remove_socket_folder
from deploy.local.state import StackState

TOPICS_FILE = PROJECT_ROOT / "deploy" / "kafka" / "topics.yaml"
LOCK_WAIT_S = 10.0
HOUSEKEEPING_S = 1.0
LOG_CHECK_ROUNDS = 30
START_TRIES = 3
"""What ended so often while the stack starts will not become ready."""
LINES_SHOWN = 15

log = logging.getLogger("deploy.local.supervisor")


class Supervisor:
    """One stack. `run` is its whole life and can be called once."""

    def __init__(self, home: Home, config: StackConfig, credentials: Credentials) -> None:
        self._home = home
        self._config = config
        self._credentials = credentials
        self._stop_asked = asyncio.Event()
        self._orders: asyncio.Server | None = None
        self._components = [
            self._child(kafka_spec(home, config)),
            self._child(postgres_spec(home, config, credentials)),
            self._child(seaweedfs_spec(home, config, credentials)),
            *(self._child(spec) for spec in dask_specs(home, config, credentials)),
            *(self._child(spec) for spec in observe_specs(home, config)),
        ]
        self._connect = [self._child(spec) for spec in connect_specs(home, config)]
        names = (*config.services, *([CDC_SINK] if self._connect else ()))
        self._services = [self._child(service_spec(name, home, config, credentials)) for name in names]
        self._children = {
            child.spec.name: child for child in (*self._components, *self._connect, *self._services)
        }
        self._state = StackState(
            supervisor=ProcessId.of_this(), children=[child.state for child in self._children.values()]
        )

    async def run(self) -> str | None:
        """Start everything, keep it running until a signal, stop everything. Why the start failed, None if it
        did not.
        """
        self._save()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)
        housekeeping = asyncio.create_task(self._keep_house())
        error = await self._start_and_wait()
        if self._orders is not None:
            self._orders.close()
        await self._stop_all()
        housekeeping.cancel()
        remove_socket_folder(self._home)
        remove_sockets(self._config.ports)
        self._state.phase, self._state.error = ("failed", error) if error else ("stopped", None)
        self._save()
        log.info("stack_stopped")
        return error

    async def _start_and_wait(self) -> str | None:
        starting = asyncio.create_task(self._start())
        stop_asked = asyncio.create_task(self._stop_asked.wait())
        await asyncio.wait({starting, stop_asked}, return_when=asyncio.FIRST_COMPLETED)
        starting.cancel()
        try:
            await starting
        except asyncio.CancelledError:
            return None
        except Exception as error:  # noqa: BLE001  (whatever it is, the person at the terminal has to read it)
            stop_asked.cancel()
            return _explain(error)
        await stop_asked
        return None

    async def _start(self) -> None:
        began = time.monotonic()
        self._orders = await control.serve(make_socket_folder(self._home), self._obey)
        async with asyncio.TaskGroup() as group:
            for child in self._components:
                group.create_task(self._start_one(child))
            # This program waits for the store itself, and loads its libraries meanwhile.
            group.create_task(self._step("buckets"))
            topics = group.create_task(self._apply_topics())
            serving = group.create_task(self._migrate_then_serve(topics))
            for child in self._connect:
                group.create_task(self._capture(child, serving))
        while waiting := [child for child in self._children.values() if not child.ready.is_set()]:
            await self._until_ready(waiting[0])
        self._state.phase = "ready"
        self._save()
        log.info("stack_ready seconds=%.1f", time.monotonic() - began)

    async def _start_one(self, child: ManagedProcess) -> None:
        await child.start()
        await self._until_ready(child)

    async def _until_ready(self, child: ManagedProcess) -> None:
        while not await _happens(child.ready, HOUSEKEEPING_S):
            if child.state.restarts >= START_TRIES:
                log_file = self._home.log_file(child.spec.name)
                lines = logfiles.last_lines(log_file, LINES_SHOWN)
                raise StackError(
                    "\n".join([f"{child.spec.name} does not stay up; the last lines of {log_file}:", *lines])
                )

    async def _apply_topics(self) -> None:
        await self._children["kafka"].ready.wait()
        await self._step("topics")
        self._topics_mark.write_text(_topics_version())

    async def _migrate_then_serve(self, topics: asyncio.Task[None]) -> None:
        """Services need their tables at once. They wait for Kafka themselves, but not for topics yet to be made."""
        topics_are_old = self._topics_mark.exists() and self._topics_mark.read_text() == _topics_version()
        await self._children["postgres"].ready.wait()
        await self._step("migrate")
        if not topics_are_old:
            await topics
        async with asyncio.TaskGroup() as group:
            for child in self._services:
                group.create_task(self._start_one(child))

    async def _capture(self, connect: ManagedProcess, serving: asyncio.Task[None]) -> None:
        """Connect ends where it finds no broker, and the connector needs its tables."""
        await self._children["kafka"].ready.wait()
        await self._start_one(connect)
        await serving
        await self._step(CDC_STEP)

    async def _step(self, name: str) -> None:
        left_out = await run_step(name, self._home, self._config, self._credentials)
        self._state.steps.append(name)
        self._state.warnings += left_out
        self._save()
        log.info("step_done name=%s", name)

    async def _obey(self, order: control.Order) -> None:
        child = self._children.get(order.name)
        if child is None:
            raise UnknownNameError(
                f"there is no {order.name!r} in this stack: it has {', '.join(self._children)}"
            )
        log.info("order_received do=%s name=%s", order.do, order.name)
        if order.do != "start":
            await child.stop()
        if order.do != "stop":
            await child.start()

    async def _keep_house(self) -> None:
        parent = self._config.parent
        rounds = 0
        while True:
            if parent is not None and parent.find() is None and not self._stop_asked.is_set():
                log.info("parent_gone pid=%d", parent.pid)
                self._stop_asked.set()
            if rounds % LOG_CHECK_ROUNDS == 0:
                # A full disk must not end the watch over the parent.
                with contextlib.suppress(OSError):
                    logfiles.bound(self._home.logs)
            rounds += 1
            await asyncio.sleep(HOUSEKEEPING_S)

    async def _stop_all(self) -> None:
        self._state.phase = "stopping"
        self._save()
        for group in (self._services, self._connect, self._components):
            results = await asyncio.gather(*(child.stop() for child in group), return_exceptions=True)
            for child, result in zip(group, results, strict=True):
                if isinstance(result, BaseException):
                    log.error("stop_failed name=%s", child.spec.name, exc_info=result)
        # A start that was cut off may have left a program of its own.
        await asyncio.to_thread(end_orphans, self._home)

    def _on_signal(self) -> None:
        if self._stop_asked.is_set():
            for child in self._children.values():
                child.kill()
        self._stop_asked.set()

    def _child(self, spec: ProcessSpec) -> ManagedProcess:
        return ManagedProcess(
            spec, log_file=self._home.log_file(spec.name), on_change=self._save, hang_s=self._config.hang_s
        )

    @property
    def _topics_mark(self) -> Path:
        """Which topics are already in Kafka's data."""
        return self._home.data / "topics.applied"

    def _save(self) -> None:
        self._state.save(self._home)


async def _happens(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            return await event.wait()
    except TimeoutError:
        return False


def _topics_version() -> str:
    return hashlib.sha256(TOPICS_FILE.read_bytes()).hexdigest() if TOPICS_FILE.exists() else ""


def _explain(error: BaseException) -> str:
    """The first plain error inside groups of them, for a person if it was made for one."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, StackError):
        log.error("start_failed reason=%s", str(error).splitlines()[0])
        return str(error)
    log.error("start_failed", exc_info=error)
    return f"{type(error).__name__}: {error}"


def supervise(home: Home) -> str | None:
    """Run the home's stack until it is told to stop. Why the start failed, None if it did not.

    Raises `StackError` if another supervisor has the home.
    """
    with locks.held(home.supervisor_lock, wait_s=LOCK_WAIT_S):
        return asyncio.run(_supervise(home))


async def _supervise(home: Home) -> str | None:
    return await Supervisor(home, StackConfig.load(home), load_or_create(home)).run()


def log_to(*handlers: logging.Handler) -> None:
    """Send the supervisor's log there, one line for each event, times in UTC."""
    formatter = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    logger = logging.getLogger("deploy.local")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for handler in handlers:
        handler.setFormatter(formatter)
        logger.addHandler(handler)


def main(arguments: list[str]) -> int:
    """Entry of the background process; standard error is the supervisor's log file."""
    log_to(logging.StreamHandler())
    try:
        error = supervise(Home(Path(arguments[0])))
    except StackError as refused:
        error = str(refused)
        log.error("refused reason=%s", error)  # noqa: TRY400
    return 1 if error else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
