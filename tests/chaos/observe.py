"""Watches a stack under fire once a second: the ledger, each process's own counters, the groups' lag, memory."""

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
import asyncpg
import psutil
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from deploy.local.stack import LocalStack
from shared.events.topology import SERVICES
from tests.support.lag import LagReader

EVERY_S = 1.0
ANSWER_S = 1.5
RESOURCES_EVERY = 5

PROGRESS = (
    "SELECT stage, sum(batches_done + batches_dead)::bigint AS n, sum(batches_dead)::bigint AS dead "
    "FROM onpoint_runs.v_progress WHERE run_id LIKE $1 GROUP BY stage"
)

_HANDLED = re.compile(r'^onpoint_records_handled_total\{[^}]*outcome="done"[^}]*\} (\S+)', re.MULTILINE)
_STARTED = re.compile(r"^process_start_time_seconds (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Progress:
    at_s: float
    done: dict[str, int]
    """Batches at an end, by stage."""
    dead: int


@dataclass(frozen=True)
class Handled:
    """What a service's process reports about itself."""

    at_s: float
    service: str
    age_s: float
    """Since the process started."""
    records: int
    """Handled by this very process."""


@dataclass(frozen=True)
class Lag:
    at_s: float
    by_group: dict[str, int]


@dataclass(frozen=True)
class Resources:
    at_s: float
    name: str
    rss_bytes: int
    files: int
    threads: int


@dataclass
class Drain:
    """From a moment on: until every group has committed all that was there then."""

    fault: int
    since_s: float
    drained_s: float | None = None
    ends: dict[TopicPartition, int] | None = None


@dataclass
class Observations:
    progress: list[Progress] = field(default_factory=list)
    handled: list[Handled] = field(default_factory=list)
    lag: list[Lag] = field(default_factory=list)
    resources: list[Resources] = field(default_factory=list)
    drains: list[Drain] = field(default_factory=list)


class Observer:
    """Samplers that go on through every outage; each opens its connection anew after one."""

    def __init__(self, stack: LocalStack, run_prefix: str, began_s: float) -> None:
        self._stack = stack
        environment = stack.environment()
        self._servers = environment["ONPOINT_KAFKA_BOOTSTRAP_SERVERS"]
        self._dsn = environment["ONPOINT_POSTGRES_DSN"]
        self._run_prefix = run_prefix
        self._began_s = began_s
        self._connection: asyncpg.Connection | None = None
        self._reader: LagReader | None = None
        self._http: aiohttp.ClientSession | None = None
        self._partitions: dict[str, int] = {}
        """Of each group, how many have a committed offset."""
        self._rounds = 0
        self.seen = Observations()

    async def run(self) -> None:
        """Until cancelled."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as self._http:
            try:
                async with asyncio.TaskGroup() as group:
                    for look in (self._look_at_ledger, self._look_at_lag, self._look_at_services):
                        group.create_task(self._repeat(look))
            finally:
                await self._drop_connection()
                await self._drop_reader()

    def watch_drain(self, fault: int) -> None:
        """Called when a broker is back."""
        self.seen.drains.append(Drain(fault, self._now_s()))

    def is_at_rest(self) -> bool:
        """Whether the last look found every record committed."""
        return bool(self.seen.lag) and not sum(self.seen.lag[-1].by_group.values())

    def still_s(self) -> float:
        """How long the ledger has not moved on."""
        latest = self.seen.progress[-1].done if self.seen.progress else {}
        since_s = next((s.at_s for s in reversed(self.seen.progress) if s.done != latest), 0.0)
        return self._now_s() - since_s

    async def _repeat(self, look: Callable[[], Awaitable[None]]) -> None:
        while True:
            started_s = time.monotonic()
            await look()
            await asyncio.sleep(max(0.1, EVERY_S - (time.monotonic() - started_s)))

    async def _look_at_ledger(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                if self._connection is None:
                    self._connection = await asyncpg.connect(self._dsn)
                rows = await self._connection.fetch(PROGRESS, self._run_prefix + "%")
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await self._drop_connection()
            return
        done = {row["stage"]: row["n"] for row in rows}
        self.seen.progress.append(Progress(self._now_s(), done, sum(row["dead"] for row in rows)))

    async def _look_at_lag(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_S * 2):
                if self._reader is None:
                    self._reader = await LagReader.open(self._servers, self._partitions)
                ends, committed = await self._reader.read()
        except (OSError, TimeoutError, KafkaError, ValueError):
            await self._drop_reader()
            return
        self._partitions = {group: len(offsets) for group, offsets in committed.items()}
        lag = {
            group: sum(max(0, ends[p] - offset) for p, offset in offsets.items())
            for group, offsets in committed.items()
        }
        self.seen.lag.append(Lag(self._now_s(), lag))
        for drain in self.seen.drains:
            if drain.ends is None:
                drain.ends = ends
            if drain.drained_s is None and all(
                offset >= drain.ends.get(p, 0)
                for offsets in committed.values()
                for p, offset in offsets.items()
            ):
                drain.drained_s = self._now_s()

    async def _look_at_services(self) -> None:
        await asyncio.gather(*(self._scrape(name) for name in SERVICES))
        self._rounds += 1
        if self._rounds % RESOURCES_EVERY == 1:
            for row in self._stack.rows():
                with contextlib.suppress(psutil.Error):
                    process = psutil.Process(row.pid) if row.pid else None
                    if process is not None:
                        self.seen.resources.append(
                            Resources(
                                self._now_s(),
                                row.name,
                                row.rss_bytes,
                                process.num_fds(),
                                process.num_threads(),
                            )
                        )

    async def _scrape(self, name: str) -> None:
        assert self._http is not None
        url = f"http://127.0.0.1:{self._stack.http_port(name)}/metrics"
        try:
            async with self._http.get(url) as answer:
                text = await answer.text()
        except (aiohttp.ClientError, OSError, TimeoutError):
            return
        started = _STARTED.search(text)
        if started is not None:
            age_s = time.time() - float(started[1])
            records = sum(int(float(value)) for value in _HANDLED.findall(text))
            self.seen.handled.append(Handled(self._now_s(), name, age_s, records))

    async def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _drop_reader(self) -> None:
        if self._reader is not None:
            await self._reader.close()
            self._reader = None

    def _now_s(self) -> float:
        return round(time.monotonic() - self._began_s, 2)
