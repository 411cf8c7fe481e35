"""docs/metrics.md, made of the declarations. Pure."""

from collections.abc import Iterable

from shared.observability.labels import LABELS, OTHER, Label
from shared.observability.registry import Declaration, Section

HEAD = f"""# Metrics

Each service answers `GET /metrics` in Prometheus' text format, at `ONPOINT_HTTP_HOST` and `ONPOINT_HTTP_PORT`. This page is
made of the declarations in `shared/observability/metrics.py`: `GOLDEN=new python -m pytest tests/contract/test_metrics.py`
makes it anew.

A process shows fewer than 2,000 series, whatever it works on. Ids are no labels, except those of the newest runs that go on.
Where data decides the values of a label, those beyond a bound count together as `{OTHER}`. Counters and histograms begin at
0 with each process. What is read from the ledger survives a restart.

`process_*` and `python_*` are those of Prometheus' client: `process_cpu_seconds_total`, `process_resident_memory_bytes`,
`process_open_fds` and others.
"""


def render(sections: Iterable[Section]) -> str:
    """The whole page."""
    shown = list(sections)
    parts = [HEAD, *map(_section, shown)]
    used = {label for section in shown for each in section.declarations for label in each.labels}
    labels = [_label(name, LABELS[name]) for name in sorted(used)]
    parts.append("\n".join(["## Labels", "", "| label | values | at most |", "|---|---|---|", *labels, ""]))
    return "\n".join(parts)


def _section(section: Section) -> str:
    rows = [_row(each) for each in section.declarations]
    head = ["| metric | kind, unit | labels | meaning | where it is bad |", "|---|---|---|---|---|"]
    return "\n".join([f"## {section.title}", "", f"Of {section.exposed_by}.", "", *head, *rows, ""])


def _row(each: Declaration) -> str:
    labels = ", ".join(f"`{label}`" for label in each.labels)
    cells = (f"`{each.name}`", f"{each.kind}, {each.unit}", labels, each.meaning, each.remedy)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _label(name: str, label: Label) -> str:
    return f"| `{name}` | {label.meaning} | {label.most or ''} |"
