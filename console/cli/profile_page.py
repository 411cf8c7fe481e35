"""A profile as a page of its own: no script, nothing that is loaded, and every text of the data escaped."""

from html import escape
from typing import Any

from console.cli.profile import distinct, share
from console.formatting import one_line

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #1c2430; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #dde3ea; vertical-align: top; }
th { color: #5b6878; font-weight: 600; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.value { font-family: ui-monospace, monospace; font-size: 13px; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) {
  body { background: #14181e; color: #dde3ea; } th, td { border-color: #2c3542; } th { color: #93a1b3; }
}
"""

_HEADINGS = (
    "column",
    "type",
    "nulls",
    "distinct",
    "least",
    "5 %",
    "25 %",
    "median",
    "75 %",
    "95 %",
    "most",
    "examples",
)
_QUANTILES = ("0.05", "0.25", "0.5", "0.75", "0.95")


def page(described: dict[str, Any]) -> str:
    """The whole document; `described` is the profile as programs get it."""
    name = _text(described["dataset"])
    of_run = f" of run {_text(described['run_id'])}" if described["run_id"] else ""
    rows = "\n".join(_row(column) for column in described["columns"])
    headings = "".join(f"<th>{heading}</th>" for heading in _HEADINGS)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{name}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{name}</h1>
<p>{described["rows"]:,} rows{of_run} in {described["objects"]:,} objects of the lake.</p>
<table>
<thead><tr>{headings}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</body>
</html>
"""


def _row(column: dict[str, Any]) -> str:
    values = (column["min"], *(column["quantiles"].get(name) for name in _QUANTILES), column["max"])
    cells = [
        f"<td>{_text(column['name'])}</td>",
        f"<td>{_text(column['type'])}</td>",
        f'<td class="number">{share(column)}</td>',
        f'<td class="number">{distinct(column)}</td>',
        *(f'<td class="value">{_text(value)}</td>' for value in values),
        f'<td class="value">{"<br>".join(_text(value) for value in column["examples"])}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _text(value: Any) -> str:
    return "" if value is None else escape(one_line(str(value)))
