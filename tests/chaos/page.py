"""The page of a chaos run: one file with nothing to fetch. `python -m tests.chaos.page chaos-7.json` draws it anew."""

import html
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template
from typing import Any

from tests.chaos import timeline

TEMPLATE = Path(__file__).with_name("page.html")

Document = dict[str, Any]

NOTHING = "&ndash;"


def render(document: Document) -> str:
    kinds = [fault["kind"] for fault in document["faults"]]
    verdict = "Every guarantee was met" if document["passed"] else "A guarantee was broken"
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=f"Chaos, seed {document['seed']}, {document['tier']}",
        verdict=verdict,
        verdict_class="good" if document["passed"] else "bad",
        lead=_lead(document),
        tiles=_tiles(document, kinds),
        timeline=timeline.draw(document),
        findings=_findings(document["findings"]),
        recovery=_recovery(document["summaries"]),
        dots=timeline.draw_recoveries(document),
        resources=_resources(document["resources"]),
        faults=_faults(document["faults"]),
        command=f"make chaos SEED={document['seed']} TIER={document['tier']}",
    )


def _lead(document: Document) -> str:
    minutes = sum(document["seconds"].get(part, 0) for part in ("faults", "drain")) / 60
    return (
        f"{document['runs']} runs, {document['records']:,} records, {len(document['faults'])} faults "
        f"in {minutes:.1f} minutes, seed {document['seed']}."
    )


def _tiles(document: Document, kinds: Sequence[str]) -> str:
    named = (
        ("kill", "services killed"),
        ("pause", "services paused"),
        ("broker", "broker outages"),
        ("postgres", "PostgreSQL restarts"),
        ("store", "store outages"),
        ("network", "network faults"),
    )
    tiles = [(str(kinds.count(kind)), words) for kind, words in named]
    completed = {item["run_id"] for item in document["completions"]}
    tiles.insert(0, (f"{len(completed)}/{document['runs']}", "runs completed, once"))
    return "".join(f"<div class=tile><b>{value}</b><span>{words}</span></div>" for value, words in tiles)


def _findings(findings: Iterable[Document]) -> str:
    return _rows(
        (_mark(passed=found["passed"]), html.escape(found["name"]), html.escape(found["detail"]))
        for found in findings
    )


def _recovery(found: Document) -> str:
    rows = []
    overall = {summary["measure"]: summary for summary in found["all"]}
    alone = {summary["measure"]: summary for summary in found["alone"]}
    for measure, everything in overall.items():
        single = alone.get(measure)
        goal = everything["goal_s"]
        rows.append(
            (
                html.escape(everything["name"]),
                *(_times(single) if single else ("0", NOTHING, NOTHING, NOTHING)),
                *_times(everything),
                f"{goal:.0f} s" if goal else NOTHING,
                NOTHING if single is None or goal is None else _mark(passed=single["meets_goal"]),
            )
        )
    return _rows(rows)


def _times(summary: Document) -> tuple[str, ...]:
    return (str(summary["count"]), *(f"{summary[name]:.1f}" for name in ("p50_s", "p95_s", "max_s")))


def _resources(samples: Sequence[Document]) -> str:
    rows = []
    for name in dict.fromkeys(sample["name"] for sample in samples):
        own = [sample for sample in samples if sample["name"] == name]
        megabytes = [sample["rss_bytes"] / 2**20 for sample in own]
        rows.append(
            (
                html.escape(name),
                *(f"{value:.0f}" for value in (megabytes[0], max(megabytes), megabytes[-1])),
                *(str(value) for value in (own[0]["files"], max(s["files"] for s in own), own[-1]["files"])),
                *(
                    str(value)
                    for value in (own[0]["threads"], max(s["threads"] for s in own), own[-1]["threads"])
                ),
            )
        )
    return _rows(rows)


def _faults(faults: Iterable[Document]) -> str:
    return _rows(
        (
            str(fault["number"]),
            f"{fault['began_s']:.1f}",
            NOTHING if fault["ended_s"] is None else f"{fault['ended_s'] - fault['began_s']:.1f}",
            html.escape(fault["kind"]),
            html.escape(fault["target"]),
            html.escape(fault["how"]),
            html.escape(fault["note"]),
        )
        for fault in faults
    )


def _mark(*, passed: bool) -> str:
    return "<b class=good>✓ met</b>" if passed else "<b class=bad>✗ broken</b>"


def _rows(rows: Iterable[Sequence[str]]) -> str:
    return "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)


if __name__ == "__main__":
    source = Path(sys.argv[1])
    source.with_suffix(".html").write_text(render(json.loads(source.read_text())), encoding="utf-8")
