"""The state of the lake as a page of its own: no script, nothing that is loaded, and every text escaped."""

from collections.abc import Sequence
from html import escape
from typing import Any

from console.formatting import number, one_line, size

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1c2430; }
section { border-top: 1px solid #dde3ea; padding: 1rem 0; }
h2 { margin: 0; } p { margin: .2rem 0 .6rem; }
svg { max-width: 100%; height: auto; } text { fill: currentColor; font-size: 12px; }
rect { fill: #3b76b5; }
@media (prefers-color-scheme: dark) { body { background: #14181e; color: #dde3ea; } section { border-color: #2c3542; } }
"""

_ROW, _LABEL, _BARS, _WIDTH = 20, 80, 480, 640
"""Pixels: the height of a bar's line, and the widths of its label, of the longest bar and of the drawing."""


def page(found: Sequence[dict[str, Any]]) -> str:
    """The whole document; `found` is the state as programs get it."""
    sections = "\n".join(_section(one) for one in found)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>The lake</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>The lake</h1>
{sections or "<p>It has no objects.</p>"}
</body>
</html>
"""


def _section(one: dict[str, Any]) -> str:
    to_win = f"{number(one['objects_to_win'])} objects to win by a compaction"
    if one["bytes_to_win"] is not None:
        to_win += f", about {size(one['bytes_to_win'])}"
    replaced = ""
    if one["replaced_objects"]:
        replaced = f" {number(one['replaced_objects'])} replaced objects ({size(one['replaced_bytes'])}) wait for a sweep."
    for table in one["tables"]:
        kind, version = escape(table["format"]), escape(table["version"])
        replaced += f" A table of {kind} has {number(table['objects'])} of the objects (version {version})."
    return f"""<section>
<h2>{escape(one_line(one["dataset"]))}: {one["score"]} of 100</h2>
<p>{number(one["objects"])} objects in {number(one["folders"])} folders, {number(one["rows"])} rows,
{size(one["bytes"])}; {100 * one["small_share"]:.0f} % small; {to_win}.{replaced}</p>
{_bars(one["sizes"])}
</section>"""


def _bars(sizes: dict[str, int]) -> str:
    most = max(1, *sizes.values())
    lines = []
    for place, (label, count) in enumerate(sizes.items()):
        y, width = place * _ROW, round(_BARS * count / most)
        lines.append(
            f'<text x="{_LABEL - 8}" y="{y + 14}" text-anchor="end">{escape(label)}</text>'
            f'<rect x="{_LABEL}" y="{y + 3}" width="{width}" height="14"/>'
            f'<text x="{_LABEL + width + 6}" y="{y + 14}">{number(count)}</text>'
        )
    height = _ROW * len(sizes)
    title = "Objects by size: " + ", ".join(f"{label}: {count}" for label, count in sizes.items())
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img" aria-label="{escape(title)}">'
        f"{''.join(lines)}</svg>"
    )
