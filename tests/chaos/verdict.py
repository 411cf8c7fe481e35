"""What was promised, judged after a chaos run: by what the probe and the supervisor saw, and by `onpoint verify`."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.home import PROJECT_ROOT
from deploy.local.names import SERVICES
from deploy.local.status import Row
from tests.chaos.injector import Strike
from tests.chaos.plan import Plan
from tests.chaos.probe import Sighting
from tests.support.pipeline import Pipeline
from tests.support.records import COLUMNS, at

SHOWN = 5


@dataclass(frozen=True)
class Finding:
    name: str
    passed: bool
    detail: str = ""


def judge_completions(plan: Plan, sightings: Sequence[Sighting]) -> list[Finding]:
    seen = Counter(sighting.run_id for sighting in sightings)
    asked = [ask.run_id for ask in plan.asks]
    missing = [run_id for run_id in asked if not seen[run_id]]
    twice = [run_id for run_id, times in seen.items() if times > 1]
    unwell = [
        f"{sighting.run_id}: {sighting.value['status']} ({sighting.value['reason']})"
        for sighting in sightings
        if sighting.value["status"] != "succeeded"
    ]
    early = [f"{sighting.run_id}: {problem}" for sighting in sightings for problem in sighting.problems]
    return [
        _finding("every run completed", missing),
        _finding("no run completed twice", twice),
        _finding("every run succeeded", unwell),
        _finding("all data could be read when the completion was seen", early),
    ]


def judge_exits(strikes: Sequence[Strike], rows: Sequence[Row]) -> Finding:
    """No service ended by itself: as many restarts as kills."""
    killed = Counter(
        strike.fault.target for strike in strikes if strike.fault.kind == "kill" and strike.pid is not None
    )
    restarts = {row.name: row.restarts for row in rows if row.name in SERVICES}
    wrong = [
        f"{name}: {restarts.get(name, 0)} restarts, {killed[name]} kills"
        for name in SERVICES
        if restarts.get(name, 0) != killed[name]
    ]
    return _finding("no process ended but those killed", wrong)


def judge_peers(strikes: Sequence[Strike]) -> Finding:
    wrong = [
        f"{s.fault.target} at {s.began_s} s: {s.note}"
        for s in strikes
        if "code" in s.note and not s.note.endswith("code 0")
    ]
    return _finding("every peer stopped in order", wrong)


async def verify(
    environment: Mapping[str, str], plan: Plan, sources: Mapping[str, Path]
) -> tuple[list[Finding], dict[str, Any] | None]:
    """The checker's findings, and its own words; None where this checkout has no `onpoint verify`."""
    if not (PROJECT_ROOT / "console" / "verify").is_dir():
        return [], None
    command = [sys.executable, "-m", "console", "verify", *(ask.run_id for ask in plan.asks)]
    for dataset, file in sources.items():
        command += ["--source", f"{dataset}={file}"]
    process = await asyncio.create_subprocess_exec(
        *command,
        "--json",
        cwd=PROJECT_ROOT,
        env=dict(environment),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    try:
        document: dict[str, Any] = json.loads(out)
    except ValueError:
        words = error.decode(errors="replace").strip()[-600:]
        return [Finding("onpoint verify", passed=False, detail=f"exit {process.returncode}: {words}")], {}
    return [Finding("onpoint verify", passed=process.returncode == 0)], document


async def compare_content(
    pipeline: Pipeline, plan: Plan, records: Mapping[str, Sequence[dict[str, Any]]]
) -> list[Finding]:
    """Value for value: PostgreSQL, and each run's rows in the lake through its listing."""
    table_problems, lake_problems = [], []
    for dataset, source in records.items():
        expected = [tuple(at(record, path) for path in COLUMNS[dataset].values()) for record in source]
        if await pipeline.rows(dataset) != expected:
            table_problems.append(f"onpoint_{dataset} differs from the source")
        for ask in plan.asks:
            found = await asyncio.to_thread(pipeline.lake_rows, ask.run_id, dataset)
            if found != expected:
                lake_problems.append(
                    f"{ask.run_id}/{dataset}: {len(found)} rows, {len(expected)} in the source"
                )
    return [
        _finding("PostgreSQL holds the source's records", table_problems),
        _finding("the lake holds every run's records once", lake_problems),
    ]


def _finding(name: str, problems: Sequence[str]) -> Finding:
    shown = "; ".join(problems[:SHOWN]) + (
        f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    )
    return Finding(name, not problems, shown)
