"""How a service's process lives: settings, logs, HTTP, Kafka, its work, and an orderly end.

Readiness is red and liveness green while Kafka or PostgreSQL is away: the process waits, it does not crash-loop.
"""

import asyncio
import contextlib
import signal
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import uvloop
from aiokafka.errors import KafkaError

from shared.bus.kafka import KafkaClients
from shared.bus.publisher import Publisher
from shared.bus.subscriptions import Subscriptions
from shared.errors import ConfigurationError
from shared.observability.logging import configure_logging, get_logger
from shared.observability.metrics import (
    BROKER_REACHABLE,
    CPU_LIMIT,
    LOOP_LAG_SECONDS,
)
from shared.observability.tracing import configure_tracing, stop_tracing
from shared.runtime import background, cpu, memory
from shared.runtime.background import Outage
from shared.runtime.http import Page, start_http
from shared.settings.kafka import KafkaSettings
from shared.settings.model import load_settings
from shared.settings.process import ProcessSettings

EXIT_OK, EXIT_FAILED, EXIT_CONFIGURATION = 0, 1, 2
LOOP_PROBE_S = 1.0
LOOP_LAG_PROBES = 30
"""Of which the worst is shown: a scrape every 15 seconds misses none."""

LOOP_LAG_WARNING_S = 1.0

log = get_logger()


@dataclass(slots=True)
class Process:
    """What a service's `build` gets: where to subscribe, what to close at the end, what to run meanwhile."""

    publisher: Publisher
    subscriptions: Subscriptions
    resources: AsyncExitStack
    loops: list[Callable[[], Coroutine[Any, Any, None]]] = field(default_factory=list)
    """Run from ready to stop. One that ends or raises ends the process: it is restarted whole."""
    checks: list[Callable[[], list[str]]] = field(default_factory=list)
    """More of what `/readyz` asks: each returns why the process is not ready, for people."""
    pages: dict[str, Callable[[], Awaitable[Page]]] = field(default_factory=dict)
    """What the service answers over HTTP besides, by path, below /health/."""
    start_problem: str | None = None
    """What the start waits for, in one sentence for `/readyz`; None: for nothing that is known."""

    def waits_for(self, what: str | None) -> None:
        """Shows it until the next call."""
        self.start_problem = what


Build = Callable[[Process], Awaitable[None]]


def run_service(name: str, build: Build) -> None:
    """The main of every service. Exits 0 after SIGTERM or Ctrl-C, 1 after a fault, 2 for a wrong setting."""
    try:
        settings, kafka = load_settings(ProcessSettings), load_settings(KafkaSettings)
        configure_logging(name, settings.log_level)
        configure_tracing(name)
        code = uvloop.run(_live(name, build, settings, kafka))
    except ConfigurationError as error:
        sys.stderr.write(f"{name}: wrong settings\n{error}\n")
        code = EXIT_CONFIGURATION
    sys.exit(code)


async def _live(name: str, build: Build, settings: ProcessSettings, kafka: KafkaSettings) -> int:
    stop = asyncio.Event()
    faults: list[BaseException] = []

    def fatal(error: BaseException) -> None:
        log.error("fatal", error=repr(error))
        faults.append(error)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    clients = KafkaClients(kafka, f"onpoint-{name}")
    publisher = Publisher(clients, name)
    subscriptions = Subscriptions(
        clients, name, publisher, session_timeout_ms=kafka.kafka_session_timeout_ms, fatal=fatal
    )
    process = Process(publisher, subscriptions, AsyncExitStack())
    state = ["starting"]
    runner = await start_http(
        settings.http_host,
        settings.http_port,
        alive=subscriptions.stopped_consumers,
        ready=lambda: _readiness_problems(process, state),
        resume=subscriptions.reset_circuit_breaker,
        pages=process.pages,
        token=settings.control_token,
    )
    work = asyncio.create_task(_work(build, process, state, stop, fatal))
    try:
        await work
    except ConfigurationError:
        raise
    except Exception as error:  # noqa: BLE001 - logged, then the supervisor starts a new process
        fatal(error)
    finally:
        await runner.cleanup()
        await asyncio.to_thread(stop_tracing)
    return EXIT_FAILED if faults else EXIT_OK


def _readiness_problems(process: Process, state: list[str]) -> list[str]:
    if process.start_problem is not None:
        return [*state, process.start_problem]
    problems = state + process.subscriptions.readiness_problems()
    return [*problems, *background.problems(), *(problem for check in process.checks for problem in check())]


async def _work(
    build: Build,
    process: Process,
    state: list[str],
    stop: asyncio.Event,
    fatal: Callable[[BaseException], None],
) -> None:
    async with process.resources:
        started = asyncio.create_task(_start(build, process))
        if not await _unless_stopped(started, stop):
            return
        state.clear()
        log.info("ready")
        loops = [asyncio.create_task(_forever(run, fatal)) for run in process.loops]
        loops.append(asyncio.create_task(_forever(partial(_watch, process.subscriptions), fatal)))
        loops.append(asyncio.create_task(_forever(process.subscriptions.lag.run, fatal)))
        await stop.wait()
        state.append("stopping")
        log.info("stopping")
        await _stop_kafka(process)
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


async def _start(build: Build, process: Process) -> None:
    await build(process)
    process.waits_for("waiting for Kafka")
    outage = Outage("waiting_for_kafka", "kafka_reachable")
    while True:
        try:
            await process.publisher.start()
            await process.subscriptions.start()
        except (KafkaError, OSError) as error:
            BROKER_REACHABLE.set(0)
            with contextlib.suppress(Exception):
                await _stop_kafka(process)
            await outage.wait(error)
        except ConfigurationError:
            await _stop_kafka(process)
            raise
        else:
            process.waits_for(None)
            outage.end()
            return


async def _stop_kafka(process: Process) -> None:
    """The publisher last: handlers that finish publish their results."""
    await process.subscriptions.stop()
    await process.publisher.stop()


async def _unless_stopped(task: asyncio.Task[None], stop: asyncio.Event) -> bool:
    """True when the task is done; False when the process was told to stop first. The task's error is raised."""
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if task.done():
        task.result()
        return True
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return False


async def _forever(
    run: Callable[[], Coroutine[Any, Any, None]], fatal: Callable[[BaseException], None]
) -> None:
    try:
        await run()
        fatal(RuntimeError(f"{run} ended"))
    except Exception as error:  # noqa: BLE001 - a loop that is gone must not go unnoticed
        fatal(error)


async def _watch(subscriptions: Subscriptions) -> None:
    """CPU work on the loop would starve heartbeats: it is logged before the broker acts. Looks at memory and disk, too."""
    loop = asyncio.get_running_loop()
    lately: deque[float] = deque(maxlen=LOOP_LAG_PROBES)
    CPU_LIMIT.set(cpu.limit_cores())
    while True:
        due = loop.time() + LOOP_PROBE_S
        await asyncio.sleep(LOOP_PROBE_S)
        lag_s = max(0.0, loop.time() - due)
        lately.append(lag_s)
        LOOP_LAG_SECONDS.set(max(lately))
        subscriptions.apply_memory_pressure(memory.measure())
        if lag_s > LOOP_LAG_WARNING_S:
            log.warning("loop_lag", lag_s=round(lag_s, 3))
