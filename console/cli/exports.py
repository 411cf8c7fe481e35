"""`onpoint exports`: what people do with the export files of a run."""

import asyncio
from typing import TYPE_CHECKING, Annotated, cast

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
    from shared.bus.kafka import KafkaClients
    from shared.events.models import ExportsCombined
    from shared.events.names import Format

EXAMPLES = """\b
Examples:
  onpoint exports combine 2026-11-23
  onpoint exports combine 2026-11-23 --dataset posts --formats csv,xlsx

\b
A run writes a file per batch. This writes the same rows into one file per
format, or into as many as `exports: {max_rows: …}` or `{max_bytes: …}` of the
dataset's file asks for, and a manifest beside them: names, rows, bytes,
SHA-256. The run's listing then names the files. Where the dataset's file has
`exports` with `one_file`, `max_rows` or `max_bytes`, this is done by itself
when a run has ended; `onpoint status RUN` shows how it went. The command
reads what the run has stored, for as long as it is kept, and needs room on
this machine for one file. Done twice it is as done once.

\b
Exit codes: 0 written; 1 there is no such run, it goes on, its batches are
gone, or Kafka does not take the news of it; 2 wrong use.
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
    kafka = environment.kafka()
    try:
        found = asyncio.run(_combine(run, datasets, wanted, as_json=as_json))
    except (PermanentError, TransientError) as error:
        raise CommandError(f"run {run_id} is not combined: {error}") from error
    asyncio.run(_publish(kafka, found))
    if as_json:
        from services.converter.service.combiner import manifest_of

        print_json([manifest_of(one) | {"manifest": one.manifest} for one in found])


async def _combine(
    run: RunRow, datasets: tuple[str, ...], wanted: tuple[str, ...], *, as_json: bool
) -> "list[ExportsCombined]":
    from services.converter.service.combiner import Combiner
    from shared.datasets.frozen import RunDatasets
    from shared.stages.results import Batches

    staging, lake = environment.staging(), environment.lake()
    frozen = RunDatasets(staging, environment.catalog)
    request = await Batches(staging, "converter").request(run.run_id)
    combiner = Combiner(staging, lake, frozen)
    found: list[ExportsCombined] = []
    for name in datasets:
        own = await frozen.get(run.run_id, name)
        formats = wanted or (own.formats if request.formats is None else request.formats)
        for one in dict.fromkeys(formats):
            combined = await combiner.combine(run.run_id, name, cast("Format", one))
            if combined is not None:
                found.append(combined)
                if not as_json:
                    print(_line(combined))
    return found


async def _publish(kafka: "KafkaClients", found: "list[ExportsCombined]") -> None:
    """Raises `ClientError`: the files are written, and the listing does not name them."""
    from console.client.kafka import publish
    from shared.events.decode import encode
    from shared.events.topics import EXPORTS_COMBINED

    await publish(kafka, EXPORTS_COMBINED, [(one.run_id, encode(one)) for one in found])


def _line(one: "ExportsCombined") -> str:
    files = quantity(len(one.files), "file")
    rows, stored = sum(file.rows for file in one.files), sum(file.bytes for file in one.files)
    return f"{one.dataset} {one.format}: {files}, {rows:,} rows, {size(stored)}: {one.manifest}"
