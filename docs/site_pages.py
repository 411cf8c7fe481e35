"""MkDocs hook: the site has the pages that live beside the code, and its links lead to pages only.

A page is written for the repository: its links name files. Here a link to a file that is a page of the site leads to
that page, and a link to any other file becomes the file's name.
"""

import html
import posixpath
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "deploy/local/README.md": "deploy/local.md",
    **{
        card.relative_to(ROOT).as_posix(): f"services/{card.parent.name}.md"
        for card in sorted(ROOT.glob("services/*/README.md"))
    },
}
"""File of the repository -> page of the site."""

SOURCES = {page: source for source, page in PAGES.items()}

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Any, config: Any) -> Any:
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_rest: Any) -> str:
    here = page.file.src_uri
    source = SOURCES.get(here, f"docs/{here}")
    parts, end = [], 0
    for fence in FENCE.finditer(markdown):
        parts += [_links(markdown[end : fence.start()], source, here), _fence(fence)]
        end = fence.end()
    return "".join([*parts, _links(markdown[end:], source, here)])


def _links(text: str, source: str, here: str) -> str:
    def lead(found: re.Match[str]) -> str:
        mark, words, target = found.groups()
        path, hash_, anchor = target.partition("#")
        if not path or "://" in path:
            return found[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        page = PAGES.get(file, file.removeprefix("docs/") if file.startswith("docs/") else None)
        if page is None:
            name = f"`{file}`"
            return name if words.strip("`") == file else f"{words} ({name})"
        return f"{mark}[{words}]({posixpath.relpath(page, posixpath.dirname(here) or '.')}{hash_}{anchor})"

    return LINK.sub(lead, text)


def _fence(found: re.Match[str]) -> str:
    if found[1] == "mermaid" and found[2].startswith("xychart-beta"):
        return _chart(found[2])
    return found[0]


WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 300, 70, 40, 40


def _chart(text: str) -> str:
    """A chart that a Git host draws from Mermaid's text, as a picture: the site loads no program from the network."""
    fields = dict(re.findall(r"^\s*(title|x-axis|y-axis|bar|line)\s+(.*)$", text, re.MULTILINE))
    names = [name.strip() for name in fields["x-axis"].strip("[]").split(",")]
    kind = "bar" if "bar" in fields else "line"
    values = [float(value) for value in fields[kind].strip("[]").split(",")]
    unit, _, top = fields["y-axis"].rpartition(" --> ")
    unit, most = unit.rpartition(" ")[0].strip('"'), float(top)
    step = (WIDTH - LEFT - 20) / len(names)
    points = [
        (
            LEFT + step * (place + 0.5),
            HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / most,
        )
        for place, value in enumerate(values)
    ]
    drawn = [_text(WIDTH / 2, 20, fields["title"].strip('"'), "middle", 15)]
    for share in (0.0, 0.5, 1.0):
        y = HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share
        drawn += [
            f'<path d="M{LEFT} {y:.0f}H{WIDTH - 20}" stroke="#ccc"/>',
            _text(LEFT - 8, y + 4, f"{most * share:,.0f}", "end"),
        ]
    drawn.append(_text(LEFT - 8, TOP - 12, unit, "end"))
    for (x, y), name, value in zip(points, names, values, strict=True):
        if kind == "bar":
            drawn.append(
                f'<rect x="{x - step * 0.35:.1f}" y="{y:.1f}" width="{step * 0.7:.1f}" '
                f'height="{HEIGHT - BOTTOM - y:.1f}" fill="#2980b9"/>'
            )
        else:
            drawn.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#2980b9"/>')
        drawn += [_text(x, y - 8, f"{value:,g}"), _text(x, HEIGHT - BOTTOM + 18, name)]
    if kind == "line":
        drawn += [
            f'<path d="M{a[0]:.1f} {a[1]:.1f}L{b[0]:.1f} {b[1]:.1f}" stroke="#2980b9" stroke-width="2"/>'
            for a, b in pairwise(points)
        ]
    label = html.escape(fields["title"].strip('"'))
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}" '
        f'style="max-width:{WIDTH}px;width:100%" font-family="sans-serif">{"".join(drawn)}</svg></figure>'
    )


def _text(x: float, y: float, words: str, anchor: str = "middle", size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{html.escape(words)}</text>'
    )
