"""One chaos run from start to verdict."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.local.config import Detour
from deploy.local.home import Home
from deploy.local.ports import FREE_RANGE, is_free, setting_of
from deploy.local.stack import LocalStack
from tests.chaos import load, verdict
from tests.chaos.injector import Injector, Strike
from tests.chaos.observe import Observations, Observer
from tests.chaos.plan import Plan
from tests.chaos.probe import CompletionProbe, Sighting
from tests.chaos.proxy import FaultProxy, find_or_build
from tests.chaos.recovery import Recovery, recoveries, summaries
from tests.chaos.verdict import Finding
from tests.support.pipeline import Pipeline
from tests.support.source import SourceServer

COMPONENTS = {"kafka": "kafka", "postgres": "postgres", "s3": "seaweedfs"}
"""Port → part."""
AGAIN_S = 3.0
"""How long a second completion is waited for."""

Say = Callable[[str], None]


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
    """A stack on which a trial may do as it likes."""

    stack: LocalStack
    proxy: FaultProxy
    pipeline: Pipeline
    records: dict[str, list[dict[str, Any]]]
    sources: dict[str, Path]


async def run_trial(plan: Plan, home: Path, environ: Mapping[str, str], say: Say) -> Result:
    """Raises `StackError` or `ProxyError` where there is nothing to break."""
    result = Result(plan)
    started_s = time.monotonic()
    async with _ground(plan, home, environ, say) as ground:
        result.seconds["start"] = time.monotonic() - started_s
        await _torment(ground, result, say)
        checked_s = time.monotonic()
        say("checking")
        await _judge(ground, result)
        result.seconds["check"] = time.monotonic() - checked_s
    return result


async def _torment(ground: Ground, result: Result, say: Say) -> None:
    plan = result.plan
    prefix = f"chaos-{plan.seed}-"
    began_s = time.monotonic()
    observer = Observer(ground.stack, prefix, began_s)
    probe = CompletionProbe(ground.pipeline, plan.tier.rows, prefix, began_s)
    injector = Injector(ground.stack, ground.proxy, began_s, say, observer.watch_drain)
    async with _in_background(observer.run(), probe.run()):
        async with asyncio.TaskGroup() as group:
            group.create_task(load.ask_for_runs(ground.pipeline.servers, plan, began_s))
            group.create_task(injector.run(plan.faults))
        faults_over_s = time.monotonic()
        result.seconds["faults"] = faults_over_s - began_s
        say("faults are over; waiting for the runs to end")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(plan.tier.drain_s):
                while len(probe.completed()) < len(plan.asks):
                    probe.changed.clear()
                    await probe.changed.wait()
        result.seconds["drain"] = time.monotonic() - faults_over_s
        await asyncio.sleep(AGAIN_S)
    result.strikes, result.seen, result.sightings = injector.strikes, observer.seen, probe.sightings
    result.recoveries = recoveries(result.strikes, result.seen)


async def _judge(ground: Ground, result: Result) -> None:
    plan = result.plan
    result.findings = [
        *verdict.judge_completions(plan, result.sightings),
        verdict.judge_exits(result.strikes, ground.stack.rows()),
        verdict.judge_peers(result.strikes),
        *_judge_recovery(result),
    ]
    findings, result.verified = await verdict.verify(ground.stack.environment(), plan, ground.sources)
    if result.verified is None:
        findings = await verdict.compare_content(ground.pipeline, plan, ground.records)
    result.findings += findings


def _judge_recovery(result: Result) -> list[Finding]:
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
async def _ground(plan: Plan, home: Path, environ: Mapping[str, str], say: Say) -> AsyncIterator[Ground]:
    program = await asyncio.to_thread(find_or_build, environ)
    ports = _free_ports(8)
    own = dict(zip(COMPONENTS, ports, strict=False))
    doors = dict(zip(COMPONENTS, ports[3:], strict=False))
    behind, api = ports[6], ports[7]
    records = load.make_records(plan.tier.rows)
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
                **load.source_settings(source, plan.tier.batch_rows),
                **{setting_of(name): str(port) for name, port in own.items()},
            },
            detour=Detour(
                kafka=doors["kafka"], kafka_behind=behind, postgres=doors["postgres"], s3=doors["s3"]
            ),
            say=say,
        )
        await asyncio.to_thread(stack.up)
        try:
            yield Ground(
                stack, proxy, Pipeline(stack.environment()), records, load.write_records(records, home)
            )
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


def _free_ports(count: int) -> list[int]:
    """Below the range that clients' own ports are taken from."""
    found: list[int] = []
    while len(found) < count:
        port = random.choice(FREE_RANGE)  # noqa: S311 - no secret
        if port not in found and is_free(port):
            found.append(port)
    return found
