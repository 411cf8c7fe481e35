"""`onpoint lake status`: objects of each dataset, their sizes, and what a compaction would win."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.cli import environment
from console.cli.errors import CommandError
from console.cli.lake.connection import choose, open_repository, with_sentences
from console.cli.options import ArrayAsJson
from console.cli.result import print_json
from console.formatting import number, one_line, quantity, size

if TYPE_CHECKING:
    from shared.lake.status import LakeStatus, TableStatus

BAR = 24
"""Characters of the longest bar."""

EXAMPLES = """\b
Examples:
  onpoint lake status
  onpoint lake status --dataset posts
  onpoint lake status --out lake.html
  onpoint lake status --json | jq '.[] | select(.score < 50).dataset'

\b
The score is the share of the objects that a compaction would leave: 100,
nothing is to win; 5, twenty objects would become one. Small is what is below
half of ONPOINT_LAKE_COMPACT_TARGET_BYTES. Only objects of one folder become
one. What bytes are to win is estimated by the dataset's compactions so far.

\b
Exit codes: 0 shown; 1 a server does not answer; 2 wrong use.
"""


def status(
    *,
    dataset: Annotated[
        list[str] | None,
        typer.Option("--dataset", metavar="D", help="Only this one; repeatable. Absent: all in the lake."),
    ] = None,
    as_json: ArrayAsJson = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write a page (.html) that needs nothing else."),
    ] = None,
) -> None:
    """Show the objects of each dataset, their sizes, and what a compaction would win."""
    environment.ledger_dsn()
    with with_sentences("read"):
        found = asyncio.run(_read(dataset or []))
    if out is not None:
        from console.cli.lake.status_page import page

        try:
            out.write_text(page([document(one) for one in found]), encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{out} cannot be written: {error.strerror or error}") from error
        print(f"written: {out}")
    elif as_json:
        print_json([document(one) for one in found])
    else:
        show(found)


async def _read(datasets: list[str]) -> "list[LakeStatus]":
    from shared.lake.repository import CompactionRepository, lake_files
    from shared.lake.settings import LakeSettings
    from shared.lake.status import lake_status

    lake, settings = environment.lake(), environment.settings(LakeSettings)
    async with open_repository() as pool:
        repository = CompactionRepository(pool)
        return [
            lake_status(
                name,
                lake_files(lake, name, await repository.current(name)),
                settings.lake_compact_target_bytes,
                ratio=await repository.ratio(name),
                replaced=await repository.waiting(name, settings.lake_grace_hours),
                tables=await _tables(name),
            )
            for name in choose(await repository.datasets(), datasets)
        ]


async def _tables(dataset: str) -> "list[TableStatus]":
    from shared.lake.status import TableStatus

    found = []
    for kind, table in (await environment.lake_tables().existing(dataset)).items():
        if (state := await asyncio.to_thread(table.state)) is not None:
            found.append(TableStatus(kind, state.version, len(state.files)))
    return found


def document(found: "LakeStatus") -> dict[str, Any]:
    """For programs."""
    from dataclasses import asdict

    return {
        **asdict(found),
        "sizes": dict(zip(labels(), found.sizes, strict=True)),
        "small_share": round(found.small_share, 4),
        "score": found.score,
    }


def labels() -> list[str]:
    """Of the classes of sizes."""
    from shared.lake.status import BOUNDS

    return [*(f"< {size(bound)}" for bound in BOUNDS), f"≥ {size(BOUNDS[-1])}"]


def show(found: "list[LakeStatus]") -> None:
    from rich.table import Table

    from console.cli import screen

    if not found:
        print("the lake has no objects")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("dataset", no_wrap=True)
    for heading in ("objects", "folders", "rows", "size", "small", "score", "objects to win", "bytes to win"):
        table.add_column(heading, justify="right")
    has_tables = any(one.tables for one in found)
    if has_tables:
        table.add_column("table")
    for one in found:
        table.add_row(
            one_line(one.dataset),
            number(one.objects),
            number(one.folders),
            number(one.rows),
            size(one.bytes),
            f"{100 * one.small_share:.0f} %",
            number(one.score),
            number(one.objects_to_win),
            "" if one.bytes_to_win is None else f"~{size(one.bytes_to_win)}",
            *(
                [", ".join(f"{of.format}, {quantity(of.objects, 'object')}" for of in one.tables)]
                * has_tables
            ),
        )
    console = screen.stdout()
    console.print(table, highlight=False)
    console.print(picture(found), highlight=False, markup=False)
    waiting, bytes_ = sum(one.replaced_objects for one in found), sum(one.replaced_bytes for one in found)
    if waiting:
        print(f"{quantity(waiting, 'replaced object')}, {size(bytes_)}, wait for a sweep")


def picture(found: "list[LakeStatus]") -> str:
    """A bar for each class of sizes, over all of the datasets."""
    counts = [sum(of_class) for of_class in zip(*(one.sizes for one in found), strict=True)]
    most = max(1, *counts)
    width = max(len(label) for label in labels())
    lines = [
        f"{label:>{width}}  {'█' * max(round(BAR * count / most), int(count > 0)):<{BAR}}  {number(count)}"
        for label, count in zip(labels(), counts, strict=True)
    ]
    return "\n".join(["", *lines])
