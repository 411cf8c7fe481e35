"""The result of a chaos run for people and programs: a table, a JSON file, a page."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.chaos.injector import as_json
from tests.chaos.page import render
from tests.chaos.plan import Plan
from tests.chaos.recovery import GOALS_S, NAMES, Summary, summaries
from tests.chaos.trial import Result

SERIES_POINTS = 600
"""More than a screen has columns for is thinned out."""

out = Console(highlight=False, soft_wrap=True)


def print_plan(plan: Plan) -> None:
    tier = plan.tier
    out.print(
        f"[bold]seed {plan.seed}, tier {tier.name}[/]: {tier.runs} runs, {tier.records:,} records, "
        f"{len(plan.faults)} faults in {tier.window_s:.0f} s"
    )
    for fault in plan.faults:
        out.print(f"  {fault}")


def print_result(result: Result) -> None:
    table = Table("", "guarantee", "seen", box=None, pad_edge=False, header_style="bold")
    for finding in result.findings:
        mark = "[green]ok[/]" if finding.passed else "[bold red]BROKEN[/]"
        table.add_row(mark, finding.name, finding.detail)
    out.print(table)
    times = Table("recovery", "n", "p50", "p95", "max", "goal", box=None, pad_edge=False, header_style="bold")
    for alone in (True, False):
        for summary in summaries(result.recoveries, alone=alone):
            goal = GOALS_S.get(summary.measure)
            times.add_row(
                NAMES[summary.measure] + ("" if alone else ", outages meanwhile too"),
                str(summary.count),
                *(f"{value:.1f} s" for value in (summary.p50_s, summary.p95_s, summary.max_s)),
                f"{goal:.0f} s" if goal and alone else "",
            )
    out.print(times)
    took = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in result.seconds.items())
    out.print(f"[bold]{'passed' if result.passed else 'FAILED'}[/] ({took})")


def write_report(result: Result, folder: Path) -> Path:
    """`chaos-<seed>.json` and the page of it; the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    document = as_document(result)
    stem = f"chaos-{result.plan.seed}"
    (folder / f"{stem}.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    page = folder / f"{stem}.html"
    page.write_text(render(document), encoding="utf-8")
    return page


def as_document(result: Result) -> dict[str, Any]:
    plan, seen = result.plan, result.seen
    return {
        "seed": plan.seed,
        "tier": plan.tier.name,
        "passed": result.passed,
        "runs": plan.tier.runs,
        "records": plan.tier.records,
        "seconds": {name: round(value, 1) for name, value in result.seconds.items()},
        "faults": [as_json(strike) for strike in result.strikes],
        "findings": [asdict(finding) for finding in result.findings],
        "recoveries": [asdict(recovery) for recovery in result.recoveries],
        "summaries": {
            name: [_summary(found) for found in summaries(result.recoveries, alone=alone)]
            for name, alone in (("alone", True), ("all", False))
        },
        "completions": [
            {
                "run_id": sighting.run_id,
                "at_s": sighting.at_s,
                "status": sighting.value["status"],
                "problems": sighting.problems,
            }
            for sighting in result.sightings
        ],
        "progress": [asdict(sample) for sample in _thinned(seen.progress)],
        "lag": [asdict(sample) for sample in _thinned(seen.lag)],
        "resources": [asdict(sample) for sample in seen.resources],
        "verified": result.verified,
    }


def _summary(summary: Summary) -> dict[str, Any]:
    return {
        **asdict(summary),
        "name": NAMES[summary.measure],
        "goal_s": GOALS_S.get(summary.measure),
        "meets_goal": summary.meets_goal(),
    }


def _thinned(samples: list[Any]) -> list[Any]:
    step = max(1, len(samples) // SERIES_POINTS)
    return samples[::step]
