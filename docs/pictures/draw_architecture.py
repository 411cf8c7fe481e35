"""Writes architecture.svg: the services, the topics between them, and where data is stored.

python3 docs/pictures/draw_architecture.py
"""

import html
from pathlib import Path

TARGET = Path(__file__).with_name("architecture.svg")
WIDTH, HEIGHT = 1030, 560

FILL = {"outside": "#eeeeee", "service": "#d6e6f5", "store": "#dcefdc"}
EVENT, DATA = "#1f5f99", "#5a8f5a"


def box(x: int, y: int, width: int, height: int, kind: str, name: str, *lines: str) -> str:
    parts = [
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{FILL[kind]}" stroke="#777"/>',
        text(x + width / 2, y + 20, name, size=14, bold=True),
        *(text(x + width / 2, y + 38 + 15 * number, line) for number, line in enumerate(lines)),
    ]
    return "\n".join(parts)


def text(
    x: float,
    y: float,
    words: str,
    *,
    size: int = 11,
    bold: bool = False,
    anchor: str = "middle",
    colour: str = "#222",
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}"{weight} fill="{colour}">'
        f"{html.escape(words)}</text>"
    )


def event(path: str, *labels: tuple[float, float, str]) -> str:
    """An arrow of events, with the names of their topics."""
    drawn = f'<path d="{path}" fill="none" stroke="{EVENT}" stroke-width="1.6" marker-end="url(#event)"/>'
    return "\n".join([drawn, *(text(x, y, words, colour=EVENT) for x, y, words in labels)])


def line(path: str) -> str:
    """Events that join an arrow."""
    return f'<path d="{path}" fill="none" stroke="{EVENT}" stroke-width="1.6"/>'


def data(path: str, *, both: bool = False) -> str:
    """An arrow of rows."""
    begin = ' marker-start="url(#data)"' if both else ""
    return (
        f'<path d="{path}" fill="none" stroke="{DATA}" stroke-width="1.6" stroke-dasharray="5 3" '
        f'marker-end="url(#data)"{begin}/>'
    )


def marker(name: str, colour: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" fill="{colour}"/></marker>'
    )


PARTS = (
    box(20, 70, 150, 72, "outside", "Who asks", "onpoint run, Airflow,", "any Kafka client"),
    box(20, 230, 150, 72, "outside", "Source", "an API, described by", "a dataset file"),
    box(270, 70, 130, 72, "service", "crawler", "requests pages,", "keeps raw lines"),
    box(510, 70, 130, 72, "service", "processor", "types, checks keys,", "removes duplicates"),
    box(770, 20, 105, 56, "service", "converter", "exports"),
    box(770, 100, 105, 56, "service", "loader", "COPY, upsert"),
    box(770, 180, 105, 56, "service", "s3sink", "sized objects"),
    box(905, 20, 95, 56, "store", "Lake", "exports/"),
    box(905, 100, 95, 56, "store", "PostgreSQL", "onpoint_*"),
    box(905, 180, 95, 56, "store", "Lake", "hour=HH/"),
    box(
        270,
        240,
        370,
        72,
        "store",
        "Staging bucket",
        "raw lines, clean Parquet, quarantine;",
        "manifests, plans, frozen requests and dataset files",
    ),
    box(
        270,
        420,
        370,
        78,
        "service",
        "quality",
        "run ledger (PostgreSQL), checks, row accounting,",
        "listing in the lake, sweep of both buckets",
    ),
    event("M170 96H266", (218, 88, "crawl.requested")),
    event("M300 70V40H370V66", (335, 32, "crawl.batch.requested")),
    event("M400 106H506", (454, 98, "batch.crawled")),
    event("M640 106H766", (690, 98, "batch.processed")),
    event("M742 106V48H766"),
    event("M742 106V208H766"),
    data("M170 256H220V122H266"),
    data("M335 142V236"),
    data("M575 142V236", both=True),
    data("M640 276H754V66H766"),
    data("M754 142H766"),
    data("M754 226H766"),
    data("M875 38H901"),
    data("M875 118H901"),
    data("M875 198H901"),
    event("M285 142V196H245V360H950V459H644", (330, 352, "crawl.planned, batch.*")),
    line("M620 142V196H680V360"),
    line("M875 64H890V360"),
    line("M875 144H890"),
    line("M875 224H890"),
    text(948, 262, "batch.converted", colour=EVENT),
    text(948, 278, "batch.loaded", colour=EVENT),
    text(948, 294, "batch.stored", colour=EVENT),
    text(948, 310, "batch.failed", colour=EVENT),
    text(948, 326, "exports.combined", colour=EVENT),
    event("M640 480H822V240", (718, 472, "run.sealed")),
    event("M640 492H1014V10H822V16", (900, 484, "exports.combine.requested")),
    event("M640 438H700V396H560V416", (628, 388, "run.drained")),
    event("M270 459H195V124H174", (226, 476, "run.completed")),
    text(20, 528, "solid: events on Kafka, with their topics", anchor="start", colour=EVENT),
    text(20, 546, "dashed: rows, always through files", anchor="start", colour=DATA),
)


def main() -> None:
    label = "Six services, the topics between them, the object store and the database"
    TARGET.write_text(
        "\n".join(
            [
                f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" xmlns="http://www.w3.org/2000/svg" role="img"',
                f'aria-label="{label}" font-family="sans-serif">',
                f"<defs>{marker('event', EVENT)}{marker('data', DATA)}</defs>",
                f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#fff"/>',
                *PARTS,
                "</svg>\n",
            ]
        ),
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
