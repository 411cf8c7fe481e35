"""Evaluates a chaos run: what the probe and the supervisor saw, and what `onpoint verify` finds."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deploy.local.home import PROJECT_ROOT
from deploy.local.status import Row
from shared.events.topology import SERVICES
from tests.chaos.injector import Strike
from tests.chaos.plan import Plan
from tests.chaos.probe import Sighting

SHOWN = 5
SECRETS = ("PGPASSWORD", "AWS_SECRET_ACCESS_KEY")


@dataclass(frozen=True)
class Finding:
    name: str
    passed: bool
    detail: str = ""


def evaluate_completions(plan: Plan, sightings: Sequence[Sighting]) -> list[Finding]:
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


def evaluate_exits(strikes: Sequence[Strike], rows: Sequence[Row]) -> Finding:
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


def evaluate_peers(strikes: Sequence[Strike]) -> Finding:
    wrong = [
        f"{s.fault.target} at {s.began_s} s: {s.note}"
        for s in strikes
        if "code" in s.note and not s.note.endswith("code 0")
    ]
    return _finding("every peer stopped in order", wrong)


class Checker:
    """Runs `onpoint verify`, before and after the faults."""

    def __init__(self, environment: Mapping[str, str], folder: Path, logs: Path) -> None:
        self._environment = dict(environment)
        self._folder = folder
        self._logs = logs

    async def note_baseline(self) -> None:
        """What every process uses while nothing has happened yet."""
        (self._folder / "baseline.json").write_bytes((await self._call("--snapshot"))[1])

    async def verify(
        self, plan: Plan, sources: Mapping[str, Path], sightings: Sequence[Sighting], kills: int
    ) -> tuple[list[Finding], dict[str, Any]]:
        """A finding for each invariant, and the checker's JSON document."""
        arguments = [ask.run_id for ask in plan.asks]
        for dataset, file in sources.items():
            arguments += ["--source", f"{dataset}={file}"]
        observed, secrets = self._folder / "observed.jsonl", self._folder / "secrets.txt"
        observed.write_text("".join(json.dumps(sighting.observed()) + "\n" for sighting in sightings))
        secrets.write_text("".join(self._environment[name] + "\n" for name in SECRETS))
        arguments += ["--observed", str(observed), "--logs", str(self._logs), "--secrets-file", str(secrets)]
        arguments += ["--baseline", str(self._folder / "baseline.json"), "--expected-restarts", str(kills)]
        code, out, error = await self._call(*arguments, "--json")
        try:
            document: dict[str, Any] = json.loads(out)
        except ValueError:
            words = error.decode(errors="replace").strip()[-600:]
            return [Finding("onpoint verify", passed=False, detail=f"exit {code}: {words}")], {}
        return _by_invariant(document), document

    async def _call(self, *arguments: str) -> tuple[int | None, bytes, bytes]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "console",
            "verify",
            *arguments,
            cwd=PROJECT_ROOT,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, error = await process.communicate()
        return process.returncode, out, error


def _by_invariant(document: dict[str, Any]) -> list[Finding]:
    found = []
    for name, entry in document["invariants"].items():
        problems = [
            f"{violation['subject']}: {violation['message']}"
            for violation in document["violations"]
            if violation["invariant"] == name
        ]
        finding = _finding(f"{name}: {entry['says']}", problems)
        found.append(finding if problems else replace(finding, detail=f"{entry['checked']:,} checked"))
    return found


def _finding(name: str, problems: Sequence[str]) -> Finding:
    shown = "; ".join(problems[:SHOWN]) + (
        f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    )
    return Finding(name, not problems, shown)
