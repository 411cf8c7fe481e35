"""The whole way for N generated records, and the bare chain beside it in the same run."""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from console.cli.environment import CLIENT_ID
from console.cli.errors import CommandError
from console.client.kafka import open_completions, publish_request
from deploy.bench import source
from deploy.bench.bare import DATASET
from deploy.bench.busy import busy_seconds
from deploy.bench.content import Difference, compare, forget
from deploy.bench.second import second_processes
from deploy.bench.usage import Meter
from deploy.local.home import PROJECT_ROOT
from deploy.local.names import COMPONENTS
from deploy.local.stack import LocalStack
from shared.bus.kafka import KafkaClients
from shared.events.topology import SERVICES
from shared.settings.kafka import KafkaSettings
from shared.settings.model import load_settings

PAGE_ROWS = 1_000
WARM_UP_ROWS = 20_000
"""A run before the measured ones: imports, connections, the broker's and the database's caches."""

PREFIX = "bench"

NO_SWEEP = {"ONPOINT_SWEEP_INTERVAL_S": "0"}
"""The hourly sweep, whose first is a minute after the start, would fall into the longer runs only."""


@dataclass(frozen=True, slots=True)
class Service:
    """Of one run. Busy: at least one piece of work was in hand; wait: the rest of the run's time."""

    busy_s: float
    wait_s: float
    cpu_s: float
    peak_rss_bytes: int


@dataclass(frozen=True, slots=True)
class Component:
    """Of one run, for each other process: the stack's components, the source, second processes."""

    cpu_s: float
    peak_rss_bytes: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of the pipeline and one of the bare chain, on the same servers, one after the other."""

    rows: int
    seconds: float
    bare_seconds: float
    services: dict[str, Service]
    components: dict[str, Component]
    bare_cpu_s: dict[str, float]

    @property
    def cpu_s(self) -> dict[str, float]:
        """The pipeline's, by service and component."""
        services = {name: used.cpu_s for name, used in self.services.items()}
        return services | {name: used.cpu_s for name, used in self.components.items()}

    @property
    def rows_per_s(self) -> float:
        return self.rows / self.seconds

    @property
    def bare_rows_per_s(self) -> float:
        return self.rows / self.bare_seconds

    @property
    def ratio(self) -> float:
        """The pipeline's rate, as a part of the bare chain's."""
        return self.bare_seconds / self.seconds


@dataclass(frozen=True, slots=True)
class Bench:
    """What is measured, and where its progress is reported."""

    rows: int
    repeat: int
    services: Mapping[str, str]
    """Settings of the services, beside those of the bench."""
    report: Callable[[str], None]
    doubled: tuple[str, ...] = ()
    """Services that get a second process beside the stack's own."""
    formats: tuple[str, ...] = ()
    """Exports of the measured runs. The bare chain writes none, so by default neither does the pipeline."""

    def run(self) -> list[Measured]:
        """Starts a stack of its own, so that no other data is touched, and removes it.

        Raises `CommandError` when a run does not succeed, or where what arrived is not what the bare chain made.
        """
        with tempfile.TemporaryDirectory(prefix="onpoint-bench-") as name:
            folder = Path(name)
            folder.chmod(0o755)  # PostgreSQL's own user must be able to enter
            with source.serving(self.rows, folder) as (server, port):
                extra = {**source.settings(port, PAGE_ROWS), **NO_SWEEP, **self.services}
                self.report("starting a stack of its own")
                stack = LocalStack(folder / "stack", extra_env=extra)
                try:
                    with stack, second_processes(stack, self.doubled, extra) as seconds:
                        return self._measure(stack, seconds, server, port)
                finally:
                    stack.down(wipe=True)

    def _measure(
        self,
        stack: LocalStack,
        seconds: Mapping[str, psutil.Process],
        server: subprocess.Popen[bytes],
        port: int,
    ) -> list[Measured]:
        # The drivers take credentials by the standard chain, which looks into this process's environment.
        os.environ.update(stack.environment())
        environment = dict(os.environ)
        self.report(f"warming up with {min(WARM_UP_ROWS, self.rows):,} records")
        run_pipeline(environment, f"{PREFIX}-warm-up", min(WARM_UP_ROWS, self.rows), self.formats)
        parts = {name: stack.process(name) for name in (*SERVICES, *COMPONENTS)}
        parts |= {**seconds, "source": psutil.Process(server.pid)}
        found = []
        for number in range(1, self.repeat + 1):
            found.append(self._once(stack, environment, parts, port, number))
            last = found[-1]
            self.report(
                f"run {number} of {self.repeat}: {last.rows_per_s:,.0f} rows/s, "
                f"bare {last.bare_rows_per_s:,.0f}, ratio {last.ratio:.2f}"
            )
        return found

    def _once(
        self,
        stack: LocalStack,
        environment: Mapping[str, str],
        parts: Mapping[str, psutil.Process],
        port: int,
        number: int,
    ) -> Measured:
        run_id = f"{PREFIX}-{number}"
        asyncio.run(forget(environment))
        before = busy_seconds(stack)
        with Meter(parts) as meter:
            run_pipeline(environment, run_id, self.rows, self.formats)
        seconds = meter.elapsed_s
        busy = {name: after - before[name] for name, after in busy_seconds(stack).items()}
        with Meter({name: parts[name] for name in ("postgres", "seaweedfs", "source")}) as bare_meter:
            bare_seconds, bare_cpu_s = self._bare(environment, port)
        differences = asyncio.run(compare(environment, run_id))
        _require_equal(differences)
        return Measured(
            rows=self.rows,
            seconds=seconds,
            bare_seconds=bare_seconds,
            services={
                name: Service(busy[name], max(0.0, seconds - busy[name]), used.cpu_s, used.peak_rss_bytes)
                for name, used in meter.usage.items()
                if name in SERVICES
            },
            components={
                name: Component(used.cpu_s, used.peak_rss_bytes)
                for name, used in meter.usage.items()
                if name not in SERVICES
            },
            bare_cpu_s={"chain": bare_cpu_s, **{name: u.cpu_s for name, u in bare_meter.usage.items()}},
        )

    def _bare(self, environment: Mapping[str, str], port: int) -> tuple[float, float]:
        command = [
            sys.executable, "-m", "deploy.bench.bare", f"http://{source.HOST}:{port}", str(self.rows),
            "--page-rows", str(PAGE_ROWS),
        ]  # fmt: skip
        before = os.times()
        done = subprocess.run(  # noqa: S603 - this very interpreter
            command, cwd=PROJECT_ROOT, env=dict(environment), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise CommandError(f"the bare chain failed: {done.stderr[-2000:]}")
        after = os.times()
        cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
        return float(done.stdout), cpu_s


def run_pipeline(environment: Mapping[str, str], run_id: str, rows: int, formats: tuple[str, ...]) -> None:
    """One run of a stack, whole. Raises `CommandError` where it does not load every row."""
    kafka = KafkaClients(load_settings(KafkaSettings, environment), CLIENT_ID)
    completed = asyncio.run(_run(kafka, run_id, rows, formats))
    loaded = completed["datasets"].get(DATASET, {}).get("rows_loaded")
    if completed["status"] != "succeeded" or loaded != rows:
        raise CommandError(
            f"run {run_id} ended as {completed['status']} with {loaded} of {rows} rows: {completed['reason']}"
        )


async def _run(kafka: KafkaClients, run_id: str, rows: int, formats: tuple[str, ...]) -> dict[str, Any]:
    request = {
        "run_id": run_id,
        "datasets": [DATASET],
        "parameters": {DATASET: {"limit": rows}},
        "formats": formats,
        "requested_by": "onpoint bench",
    }
    async with open_completions(kafka) as ends:
        await publish_request(kafka, run_id, json.dumps(request).encode())
        return await ends.of(run_id)


def _require_equal(differences: list[Difference]) -> None:
    if differences:
        raise CommandError(
            "what arrived is not what the bare chain made: "
            + "; ".join(
                f"{found.where}: {found.bare} in the bare chain, {found.pipeline} here"
                for found in differences
            )
        )


def document(runs: list[Measured]) -> dict[str, Any]:
    """The median run by rate, and every run. Figures of `services` and `components` are the median run's."""
    middle = sorted(runs, key=lambda run: run.rows_per_s)[(len(runs) - 1) // 2]
    return {
        "rows": middle.rows,
        "rows_per_s": middle.rows_per_s,
        "bare_rows_per_s": statistics.median(run.bare_rows_per_s for run in runs),
        "ratio": statistics.median(run.ratio for run in runs),
        "seconds": middle.seconds,
        "services": {name: asdict(used) for name, used in middle.services.items()},
        "components": {name: asdict(used) for name, used in middle.components.items()},
        "bare_cpu_s": middle.bare_cpu_s,
        "cpu_s_per_million_rows": {name: cpu_s * 1e6 / middle.rows for name, cpu_s in middle.cpu_s.items()},
        "runs": [
            {
                "rows_per_s": run.rows_per_s,
                "bare_rows_per_s": run.bare_rows_per_s,
                "ratio": run.ratio,
                "peak_rss_bytes": max(used.peak_rss_bytes for used in run.services.values()),
            }
            for run in runs
        ],
        "machine": {"cores": os.cpu_count(), "memory_bytes": psutil.virtual_memory().total},
        "content": "equal to the bare chain's in PostgreSQL and in the lake",
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
