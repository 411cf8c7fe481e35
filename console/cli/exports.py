"""`onpoint exports`: what people do with the export files of a run."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from console.cli import environment
from console.cli.arguments import parse_formats
from console.cli.errors import CommandError
from console.cli.options import RunId
from console.cli.result import print_json
from console.client.ledger import RunRow
from console.client.replay import choose_datasets, find_run
from console.client.run_request import check_run_id
from console.formatting import quantity, size
from shared.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from shared.events.names import Format

EXAMPLES = """\b
Examples:
  onpoint exports combine 2026-11-23
  onpoint exports combine 2026-11-23 --dataset posts --formats csv,xlsx

\b
A run writes a file per batch. This writes the same rows into one file per
format, or into as many as `exports: {max_rows: …, max_bytes: …}` of the
dataset's file asks for, and a manifest beside them: names, rows, bytes,
SHA-256. It reads what the run has stored, for as long as it is kept, and
needs room on this machine for a dataset's batches. Done twice it is as done
once.

\b
Exit codes: 0 written; 1 there is no such run, it goes on, or its batches are
gone; 2 wrong use.
"""


def register(app: typer.Typer) -> None:
    exports = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    exports.callback()(about)
    exports.command("combine", epilog=EXAMPLES)(combine)
    app.add_typer(exports, name="exports")


def about() -> None:
    """Combine the export files of a run."""


def combine(
    run_id: RunId,
    *,
    dataset: Annotated[
        list[str] | None,
        typer.Option("--dataset", metavar="D", help="Only this one; repeatable. Absent: all of the run."),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--formats", metavar="F,...", help="Only these; absent: those of the run."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifests as JSON.")] = False,
) -> None:
    """Combine the exports of a run into few files."""
    wanted = parse_formats(formats or [])
    run, _ = asyncio.run(find_run(environment.ledger_dsn(), check_run_id(run_id)))
    datasets = choose_datasets(run, dataset or [])
    try:
        found = asyncio.run(_combine(run, datasets, wanted))
    except (PermanentError, TransientError) as error:
        raise CommandError(f"run {run_id} is not combined: {error}") from error
    if as_json:
        print_json(found)
        return
    for one in found:
        files = quantity(len(one["files"]), "file")
        print(
            f"{one['dataset']} {one['format']}: {files}, {one['rows']:,} rows, {size(one['bytes'])}: {one['manifest']}"
        )


async def _combine(run: RunRow, datasets: tuple[str, ...], wanted: tuple[str, ...]) -> list[dict[str, Any]]:
    from console.cli.combine import Combiner
    from shared.datasets.frozen import RunDatasets
    from shared.stages.results import Batches

    staging, lake = environment.staging(), environment.lake()
    frozen = RunDatasets(staging, environment.catalog)
    request = await Batches(staging, "converter").request(run.run_id)
    found = []
    for name in datasets:
        own = await frozen.get(run.run_id, name)
        formats = wanted or (own.formats if request.formats is None else request.formats)
        combiner = Combiner(staging, lake, run.run_id, own)
        found += await combiner.combine([cast("Format", one) for one in dict.fromkeys(formats)])
    return found
