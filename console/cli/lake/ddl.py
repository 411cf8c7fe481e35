"""`onpoint lake ddl`: the statements by which other programs read a dataset of the lake."""

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from console.cli import environment
from console.cli.errors import CommandError, WrongUseError
from console.cli.lake.connection import choose, open_repository, with_sentences

if TYPE_CHECKING:
    from shared.lake.ddl import LakeTable
    from shared.lake.repository import CompactionRepository

EXAMPLES = """\b
Examples:
  onpoint lake ddl posts --for athena
  onpoint lake ddl posts --for duckdb > posts.sql
  onpoint lake ddl posts --for spark --location s3a://lake

\b
athena, spark and trino get a table over the dataset's folder, and a view of
the files that count: what a compaction replaced, and rows of a run that a
replay superseded, are left out. New runs are in it at once; make the view
again within ONPOINT_LAKE_GRACE_HOURS after a compaction. duckdb reads the
dataset's listing, as often as its first statements are run. Of a dataset with
lake.table they name its table of Delta Lake or Iceberg, and duckdb reads the
listing of it too.

\b
Exit codes: 0 printed; 1 a server does not answer; 2 wrong use.
"""


class Engine(StrEnum):
    ATHENA = "athena"
    SPARK = "spark"
    TRINO = "trino"
    DUCKDB = "duckdb"


def ddl(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Its name.", show_default=False)],
    *,
    engine: Annotated[
        Engine,
        typer.Option("--for", metavar="PROGRAM", help="athena, spark, trino or duckdb.", show_default=False),
    ],
    location: Annotated[
        str | None,
        typer.Option("--location", metavar="URL", help="Where it finds the bucket; absent: s3://BUCKET."),
    ] = None,
) -> None:
    """Print the statements by which a program reads a dataset of the lake."""
    environment.ledger_dsn()
    with with_sentences("read"):
        table = asyncio.run(_table(dataset, location, engine.value))
    from shared.lake.ddl import statements

    try:
        text = statements(table, engine.value)
    except ValueError as error:
        raise WrongUseError(f"{dataset}: {error}") from error
    print(text, end="")


async def _table(dataset: str, location: str | None, engine: str) -> "LakeTable":
    from shared.datasets.arrow import clean_schema
    from shared.datasets.frozen import RunDatasets
    from shared.lake.ddl import LakeTable
    from shared.lake.listings import partition_of
    from shared.lake.repository import CompactionRepository
    from shared.lake.tables.settings import TableSettings

    lake = environment.lake()
    async with open_repository() as pool:
        repository = CompactionRepository(pool)
        choose(await repository.datasets(), [dataset])
        current = await repository.current(dataset)
        newest = max(run_id for file in current for run_id in file.runs)
        own = await RunDatasets(environment.staging(), environment.catalog).get(newest, dataset)
        kind = own.lake.table
        partitions = {
            tuple(name for name, _ in partition_of(lake.key(file.uri, f"{dataset}/"))) for file in current
        }
        if len(partitions) > 1 and (kind is None or engine == "duckdb"):
            different = " and ".join("/".join(one) or "none" for one in sorted(partitions))
            raise CommandError(
                f"{dataset} has files in different partitions, {different}: one table cannot have both"
            )
        return LakeTable(
            name=dataset,
            location=(location or f"s3://{lake.name}").rstrip("/"),
            schema=clean_schema(own),
            partitions=next(iter(partitions)),
            compacted=tuple(_file(file.uri) for file in current if file.compaction),
            replaced=await _replaced(repository, dataset),
            superseded=tuple(await repository.superseded(dataset)),
            kind=kind,
            namespace=environment.settings(TableSettings).iceberg_namespace,
        )


async def _replaced(repository: "CompactionRepository", dataset: str) -> tuple[str, ...]:
    """Of the sink, and in the bucket still."""
    lake = environment.lake()
    there = {lake.uri(info.key) async for info in lake.list(f"{dataset}/")}
    names = [_file(uri) for uri in await repository.replaced(dataset) if uri in there]
    return tuple(name for name in names if not name.startswith("c-"))


def _file(uri: str) -> str:
    return uri.rpartition("/")[2]
