"""One chaos run from start to verdict."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.local.config import ProxyPorts
from deploy.local.home import Home
from deploy.local.ports import setting_of
from deploy.local.stack import LocalStack
from tests.chaos import load, verdict
from tests.chaos.injector import Injector, Strike
from tests.chaos.observe import Observations, Observer
from tests.chaos.plan import Plan
from tests.chaos.ports import free_ports
from tests.chaos.probe import CompletionProbe, Sighting
from tests.chaos.proxy import FaultProxy, find_or_build
from tests.chaos.recovery import Recovery, recoveries, summaries
from tests.chaos.verdict import Checker, Finding
from tests.support.pipeline import Pipeline
from tests.support.source import SourceServer

COMPONENTS = {"kafka": "kafka", "postgres": "postgres", "s3": "seaweedfs"}
"""Port → part."""
REST_S = 60.0
"""How long the groups may take to commit their last records, once every run has ended."""
STUCK_S = 120.0
"""Longer than any stage may take to go on after a fault."""
AGAIN_S = 3.0
"""How long a second completion is waited for."""

Report = Callable[[str], None]


@dataclass
class Result:
    plan: Plan
    strikes: list[Strike] = field(default_factory=list)
    seen: Observations = field(default_factory=Observations)
    sightings: list[Sighting] = field(default_factory=list)
    recoveries: list[Recovery] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    verified: dict[str, Any] | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    """Of each part of the trial."""

    @property
    def passed(self) -> bool:
        return all(finding.passed for finding in self.findings)


@dataclass(frozen=True)
class Ground:
    """A stack that a trial may break."""

    stack: LocalStack
    proxy: FaultProxy
    pipeline: Pipeline
    checker: Checker
    sources: dict[str, Path]


def home_in(folder: Path) -> Path:
    """Of the trial's stack. What the trial writes beside it is not the stack's: `down --wipe` would refuse it."""
    return folder / "home"


async def run_trial(plan: Plan, folder: Path, environ: Mapping[str, str], report: Report) -> Result:
    """Raises `StackError` or `ProxyError` where there is nothing to break."""
    result = Result(plan)
    started_s = time.monotonic()
    async with _ground(plan, folder, environ, report) as ground:
        result.seconds["start"] = time.monotonic() - started_s
        await _inject(ground, result, report)
        checked_s = time.monotonic()
        report("checking")
        await _evaluate(ground, result)
        result.seconds["check"] = time.monotonic() - checked_s
    return result


async def _inject(ground: Ground, result: Result, report: Report) -> None:
    plan = result.plan
    prefix = f"chaos-{plan.seed}-"
    began_s = time.monotonic()
    observer = Observer(ground.stack, prefix, began_s)
    probe = CompletionProbe(ground.pipeline, plan.tier.rows, prefix, began_s)
    injector = Injector(ground.stack, ground.proxy, began_s, report, observer.watch_drain)
    async with _in_background(observer.run(), probe.run()):
        async with asyncio.TaskGroup() as group:
            group.create_task(load.ask_for_runs(ground.pipeline.servers, plan, began_s))
            group.create_task(injector.run(plan.faults))
        faults_over_s = time.monotonic()
        result.seconds["faults"] = faults_over_s - began_s
        report("faults are over; waiting for the runs to end")
        await _wait_until(lambda: len(probe.completed()) == len(plan.asks), observer, plan.tier.drain_s)
        await _wait_until(observer.is_at_rest, observer, REST_S)
        result.seconds["drain"] = time.monotonic() - faults_over_s
        await asyncio.sleep(AGAIN_S)
    result.strikes, result.seen, result.sightings = injector.strikes, observer.seen, probe.sightings
    result.recoveries = recoveries(result.strikes, result.seen)


async def _wait_until(over: Callable[[], bool], observer: Observer, within_s: float) -> None:
    """Gives up when time is over, or when nothing has moved on for a while."""
    deadline_s = time.monotonic() + within_s
    while not over() and time.monotonic() < deadline_s and observer.still_s() < STUCK_S:
        await asyncio.sleep(0.5)


async def _evaluate(ground: Ground, result: Result) -> None:
    plan = result.plan
    result.findings = [
        *verdict.evaluate_completions(plan, result.sightings),
        verdict.evaluate_exits(result.strikes, ground.stack.rows()),
        verdict.evaluate_peers(result.strikes),
        *_evaluate_recovery(result),
    ]
    kills = sum(strike.fault.kind == "kill" and strike.pid is not None for strike in result.strikes)
    findings, result.verified = await ground.checker.verify(plan, ground.sources, result.sightings, kills)
    result.findings += findings


def _evaluate_recovery(result: Result) -> list[Finding]:
    return [
        Finding(
            f"p95 of {summary.measure}",
            bool(summary.meets_goal()),
            f"{summary.p95_s:.1f} s over {summary.count}",
        )
        for summary in summaries(result.recoveries, alone=True)
        if summary.meets_goal() is not None
    ]


@asynccontextmanager
async def _ground(
    plan: Plan, folder: Path, environ: Mapping[str, str], report: Report
) -> AsyncIterator[Ground]:
    program = await asyncio.to_thread(find_or_build, environ)
    ports = free_ports(8)
    own = dict(zip(COMPONENTS, ports, strict=False))
    doors = dict(zip(COMPONENTS, ports[3:], strict=False))
    behind, api = ports[6], ports[7]
    records = load.make_records(plan.tier.rows)
    home = home_in(folder)
    Home(home).create()
    async with (
        SourceServer(records, delay_s=load.DELAY_S) as source,
        FaultProxy(program, api, home / "logs" / "toxiproxy.log") as proxy,
    ):
        for field_name, part in COMPONENTS.items():
            upstream = behind if part == "kafka" else own[field_name]
            await proxy.add(part, port=doors[field_name], upstream=upstream)
        stack = LocalStack(
            home,
            extra_env={
                **load.source_settings(source, plan),
                **{setting_of(name): str(port) for name, port in own.items()},
            },
            proxy_ports=ProxyPorts(
                kafka=doors["kafka"], kafka_behind=behind, postgres=doors["postgres"], s3=doors["s3"]
            ),
            report=report,
        )
        await asyncio.to_thread(stack.up)
        try:
            environment = stack.environment()
            checker = Checker({**environ, **environment}, folder, stack.home.logs)
            await checker.note_baseline()
            yield Ground(stack, proxy, Pipeline(environment), checker, load.write_records(records, folder))
        finally:
            await asyncio.to_thread(stack.down)


@asynccontextmanager
async def _in_background(*jobs: Any) -> AsyncIterator[None]:
    """Ends them with the block; an error of theirs ends the block."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(job) for job in jobs]
        yield
        for task in tasks:
            task.cancel()
