"""`onpoint lake compact`: small objects of the lake become few large ones."""

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from console.cli import environment
from console.cli.errors import FAILED
from console.cli.lake.connection import choose, open_repository, with_sentences
from console.cli.options import ObjectAsJson
from console.cli.result import print_json
from console.formatting import number, one_line, quantity, size

if TYPE_CHECKING:
    from shared.lake.compact import Report
    from shared.lake.rules import Plan

PROBLEMS_SHOWN = 10

EXAMPLES = """\b
Examples:
  onpoint lake compact --dry-run            what would be done
  onpoint lake compact --dataset posts
  onpoint lake compact --dataset posts --latest
  onpoint lake compact --json | jq .total

\b
Objects below half of ONPOINT_LAKE_COMPACT_TARGET_BYTES, of runs that have
ended, become one object per folder and target. Who reads by _runs/RUN.json or
_datasets/DATASET.json sees the old objects or the new one. The old ones go
with a sweep, ONPOINT_LAKE_GRACE_HOURS after every listing names the new one.
--latest reads every object of the dataset, and drops rows for good: of those
with one key the newest stays, by request, run and position.
An object that is gone or altered is named, and nothing of its folder goes.
A call that was ended early is finished, or undone, by the next one.

\b
Exit codes: 0 done, or nothing to do; 1 something was left, or a server does
not answer; 2 wrong use.
"""


def compact(
    *,
    dataset: Annotated[
        list[str] | None,
        typer.Option("--dataset", metavar="D", help="Only this one; repeatable. Absent: all in the lake."),
    ] = None,
    latest: Annotated[
        bool, typer.Option("--latest", help="Of rows with one key keep only the newest, over all runs.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing, only say what would be done.")
    ] = False,
    as_json: ObjectAsJson = False,
) -> None:
    """Make few large objects of many small ones."""
    environment.ledger_dsn()
    with with_sentences("compacted"):
        report = asyncio.run(_compact(dataset or [], latest=latest, dry_run=dry_run, is_quiet=as_json))
    if as_json:
        print_json(report.as_dict())
    else:
        show(report)
    if report.problems:
        raise typer.Exit(FAILED)


async def _compact(datasets: list[str], *, latest: bool, dry_run: bool, is_quiet: bool) -> "Report":
    from shared.datasets.frozen import RunDatasets
    from shared.lake.compact import Compactor
    from shared.lake.listings import DatasetListings
    from shared.lake.repository import CompactionRepository
    from shared.lake.settings import LakeSettings

    staging, lake = environment.staging(), environment.lake()
    async with open_repository() as pool:
        repository = CompactionRepository(pool)
        compactor = Compactor(
            repository,
            DatasetListings(pool, lake),
            lake,
            RunDatasets(staging, environment.catalog),
            environment.settings(LakeSettings).lake_compact_target_bytes,
            environment.lake_tables(),
            dry_run=dry_run,
            on_plan=(lambda _: None) if is_quiet else _tell,
        )
        return await compactor.run(choose(await repository.datasets(), datasets), latest=latest)


def _tell(plan: "Plan") -> None:
    objects = quantity(len(plan.sources), "object")
    print(f"{plan.folder}: {objects}, {size(plan.bytes)}", file=sys.stderr, flush=True)


def show(report: "Report") -> None:
    from rich.table import Table

    from console.cli import screen

    total = report.as_dict()["total"]
    if report.compactions:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("folder", no_wrap=True)
        for heading in ("objects", "rows", "size", *(() if report.dry_run else ("rows left", "new size"))):
            table.add_column(heading, justify="right")
        for one in report.compactions:
            cells = [
                number(len(one["sources"])),
                number(one["rows_before"]),
                size(one["bytes_before"]),
            ]
            if not report.dry_run:
                cells += [number(one["rows"]), size(one["bytes"])]
            table.add_row(one_line(one["folder"]), *cells)
        screen.stdout().print(table, highlight=False)
        would = "would become" if report.dry_run else "became"
        before, after = total["objects_before"], total["compactions"]
        print(f"{quantity(before, 'object')} {would} {number(after)}")
        if not report.dry_run:
            print(
                "quality writes the listings of their runs within seconds; a sweep takes the old objects later"
            )
    elif not report.problems:
        print("there is nothing to compact")
    for problem in report.problems[:PROBLEMS_SHOWN]:
        print(f"left alone: {one_line(problem)}", file=sys.stderr)
    if len(report.problems) > PROBLEMS_SHOWN:
        print(f"and {number(len(report.problems) - PROBLEMS_SHOWN)} more", file=sys.stderr)
