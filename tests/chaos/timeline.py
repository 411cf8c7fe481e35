"""The drawings of the page, as SVG: faults above, each stage's progress below, on one axis of time."""

import html
from collections.abc import Iterator, Sequence
from typing import Any

from shared.events.topology import SERVICES

Document = dict[str, Any]

WIDTH, LEFT, RIGHT = 1180, 112, 14
LANE, FLOW, AXIS = 20, 46, 22
COMPONENTS = ("kafka", "postgres", "seaweedfs")
STAGES = ("crawler", "processor", "converter", "loader", "s3sink")
CSS_OF = {"kill": "kill", "pause": "pause", "network": "network"}
MOST_BINS = 180
LEAST_BIN_S = 2.0
"""Two looks."""
LEAST_WIDTH = 4.0
DOT_ROW = 34


class _Axis:
    def __init__(self, last_s: float) -> None:
        self.last_s = max(1.0, last_s)

    def x(self, at_s: float) -> float:
        share = min(1.0, max(0.0, at_s / self.last_s))
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def ticks(self) -> Iterator[float]:
        step = next(step for step in (10, 20, 30, 60, 120, 300, 600, 1200, 3600) if self.last_s / step <= 14)
        at_s = 0.0
        while at_s <= self.last_s:
            yield at_s
            at_s += step


def draw(document: Document) -> str:
    faults = document["faults"]
    moments = [sample["at_s"] for sample in document["progress"]] + [
        f["ended_s"] or f["began_s"] for f in faults
    ]
    axis = _Axis(max([*moments, 1.0]))
    lanes = (*COMPONENTS, *SERVICES)
    top = AXIS + len(lanes) * LANE + 12
    rows: list[tuple[str, list[float], str]] = [
        (stage, _rates(document["progress"], stage, axis.last_s), "flow") for stage in STAGES
    ]
    rows.append(("events waiting", _lag(document["lag"], axis.last_s), "lag"))
    height = top + len(rows) * FLOW + 30
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Faults and progress over time">',
        *_grid(axis, height),
        *_bands(faults, axis, top, len(rows)),
        *_lanes(lanes, faults, axis),
    ]
    for number, (name, values, css) in enumerate(rows):
        parts += _area(name, values, css, top + number * FLOW)
    parts += _completions(document["completions"], axis, top + len(rows) * FLOW + 4)
    return "\n".join([*parts, "</svg>"])


def _grid(axis: _Axis, height: int) -> Iterator[str]:
    for at_s in axis.ticks():
        x = axis.x(at_s)
        yield f'<line class="grid" x1="{x}" x2="{x}" y1="{AXIS}" y2="{height - 2}"/>'
        label = f"{at_s:.0f} s" if axis.last_s < 300 else f"{at_s / 60:g} min"
        anchor = "start" if at_s == 0 else "middle"
        yield f'<text class="soft" x="{x}" y="14" text-anchor="{anchor}">{label}</text>'


def _bands(faults: Sequence[Document], axis: _Axis, top: int, rows: int) -> Iterator[str]:
    for fault in faults:
        if fault["target"] in COMPONENTS and fault["kind"] != "network":
            x, width = _span(fault, axis)
            yield f'<rect class="band" x="{x}" y="{top}" width="{width}" height="{rows * FLOW}"/>'


def _lanes(names: Sequence[str], faults: Sequence[Document], axis: _Axis) -> Iterator[str]:
    for number, name in enumerate(names):
        y = AXIS + number * LANE
        yield f'<text x="{LEFT - 10}" y="{y + 14}" text-anchor="end">{name}</text>'
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y + LANE}" y2="{y + LANE}"/>'
        for fault in faults:
            if fault["target"] == name:
                yield _mark(fault, axis, y)


def _mark(fault: Document, axis: _Axis, y: int) -> str:
    css = CSS_OF.get(fault["kind"], "outage")
    ended = "" if fault["ended_s"] is None else f" to {fault['ended_s']:.1f}"
    title = html.escape(
        f"{fault['number']}: {fault['target']} {fault['how']}, {fault['began_s']:.1f}{ended} s"
    )
    if fault["kind"] == "kill":
        x = axis.x(fault["began_s"])
        shape = f'<path class="{css}" d="M{x - 5} {y + 4}h10l-5 12z"/>'
    else:
        x, width = _span(fault, axis)
        inset = 7 if fault["kind"] == "network" else 4
        shape = f'<rect class="{css}" x="{x}" y="{y + inset}" width="{width}" height="{LANE - 2 * inset}" rx="2"/>'
    return f"<g><title>{title}</title>{shape}</g>"


def _span(fault: Document, axis: _Axis) -> tuple[float, float]:
    x = axis.x(fault["began_s"])
    ended_s = axis.last_s if fault["ended_s"] is None else fault["ended_s"]
    return x, round(max(LEAST_WIDTH, axis.x(ended_s) - x), 1)


def _area(name: str, values: Sequence[float], css: str, y: int) -> Iterator[str]:
    most, floor = max([*values, 0.0]), y + FLOW - 6
    yield f'<text x="{LEFT - 10}" y="{floor - 12}" text-anchor="end">{name}</text>'
    unit = "" if css == "lag" else "/s"
    yield f'<text class="soft" x="{LEFT - 10}" y="{floor + 2}" text-anchor="end">≤ {most:,.0f}{unit}</text>'
    yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{floor}" y2="{floor}"/>'
    if most:
        step = (WIDTH - LEFT - RIGHT) / len(values)
        points = [f"M{LEFT} {floor}"]
        for place, value in enumerate(values):
            level = round(floor - value / most * (FLOW - 12), 1)
            points.append(f"L{LEFT + place * step:.1f} {level}L{LEFT + (place + 1) * step:.1f} {level}")
        yield f'<path class="{css}" d="{"".join(points)}L{WIDTH - RIGHT} {floor}z"/>'


def _completions(found: Sequence[Document], axis: _Axis, y: int) -> Iterator[str]:
    yield f'<text x="{LEFT - 10}" y="{y + 14}" text-anchor="end">runs completed</text>'
    for item in found:
        x = axis.x(item["at_s"])
        title = html.escape(f"{item['run_id']}: {item['status']} at {item['at_s']:.1f} s")
        yield f'<line class="done" x1="{x}" x2="{x}" y1="{y + 3}" y2="{y + 19}"><title>{title}</title></line>'


def _rates(samples: Sequence[Document], stage: str, last_s: float) -> list[float]:
    """Batches per second in each bin. While the ledger could not be read, what came to light later counts there."""
    values = [0.0] * _bins(last_s)
    width_s = last_s / len(values)
    before = 0
    for sample in samples:
        now = sample["done"].get(stage, 0)
        place = min(len(values) - 1, max(0, int(sample["at_s"] / width_s)))
        values[place] += (now - before) / width_s
        before = now
    return values


def _lag(samples: Sequence[Document], last_s: float) -> list[float]:
    values = [0.0] * _bins(last_s)
    for sample in samples:
        place = min(len(values) - 1, max(0, int(sample["at_s"] / (last_s / len(values)))))
        values[place] = max(values[place], float(sum(sample["by_group"].values())))
    return values


def _bins(last_s: float) -> int:
    return max(1, min(MOST_BINS, int(last_s / LEAST_BIN_S)))


def draw_recoveries(document: Document) -> str:
    """A row for each kind of recovery, a dot for each fault, a dashed line for the goal."""
    summaries = document["summaries"]["all"]
    found = [item for item in document["recoveries"] if item["seconds"] is not None]
    goals = [summary["goal_s"] or 0 for summary in summaries]
    axis = _Axis(max([*(item["seconds"] for item in found), *goals, 1.0]) * 1.03)
    height = AXIS + len(summaries) * DOT_ROW + 4
    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Recovery times">']
    parts += list(_grid(_Axis(axis.last_s), height))
    for number, summary in enumerate(summaries):
        middle = AXIS + number * DOT_ROW + DOT_ROW // 2
        parts.append(f'<text x="{LEFT - 10}" y="{middle + 4}" text-anchor="end">{summary["measure"]}</text>')
        if summary["goal_s"]:
            x = axis.x(summary["goal_s"])
            parts.append(f'<line class="goal" x1="{x}" x2="{x}" y1="{middle - 14}" y2="{middle + 14}"/>')
        for item in found:
            if item["measure"] == summary["measure"]:
                css = "flow" if item["alone"] else "flow faint"
                title = f"fault {item['fault']}: {item['seconds']:.1f} s"
                parts.append(
                    f'<circle class="{css}" cx="{axis.x(item["seconds"])}" cy="{middle}" r="5">'
                    f"<title>{title}</title></circle>"
                )
    return "\n".join([*parts, "</svg>"])
