"""An item as plain text, for channels that have no layout of their own. Pure."""

from collections.abc import Sequence

from shared.news.config import Link
from shared.news.item import DatasetRows, FailedCheck, NewsItem

REPEATED = "This may be a repeat: an earlier try ended without an answer."


def subject(item: NewsItem) -> str:
    """One line, without a line end."""
    return " ".join(f"OnPoint: {item.title}".split())


def body(item: NewsItem, links: Sequence[Link], *, in_doubt: bool = False) -> str:
    parts = [
        item.title,
        item.text,
        "\n".join(f"{name}: {value}" for name, value in item.facts.items()),
        rows_table(item.rows),
        "\n".join(check_line(check) for check in item.checks),
        "\n".join(f"{label}: {url}" for label, url in links_of(item, links)),
        REPEATED if in_doubt else "",
    ]
    return "\n\n".join(part for part in parts if part)


def links_of(item: NewsItem, links: Sequence[Link]) -> list[tuple[str, str]]:
    """Label and address. A link that needs a run is left out where there is none."""
    return [
        (link.label, link.url.replace("{run_id}", item.run_id or ""))
        for link in links
        if item.run_id or "{run_id}" not in link.url
    ]


def rows_table(rows: Sequence[DatasetRows]) -> str:
    """A line per dataset, for a fixed-width font; `loaded` beside that of the last run."""
    if not rows:
        return ""
    lines = [["dataset", "crawled", "rejected", "loaded", "last run", "stored"]]
    for one in rows:
        before = "-" if one.loaded_before is None else f"{one.loaded_before:,}{change(one)}"
        figures = (f"{one.crawled:,}", f"{one.rejected:,}", f"{one.loaded:,}", before, f"{one.stored:,}")
        lines.append([one.dataset, *figures])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines
    )


def change(rows: DatasetRows) -> str:
    """Of the loaded rows against the last run: ` (+4 %)`; empty where there is nothing to compare."""
    if not rows.loaded_before:
        return ""
    percent = round(100 * (rows.loaded - rows.loaded_before) / rows.loaded_before)
    return f" ({percent:+,} %)"


def check_line(check: FailedCheck) -> str:
    return f"{check.dataset}: {check.name} is {check.value}, expected {check.expected} ({check.severity})"
