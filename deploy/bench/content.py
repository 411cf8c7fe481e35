"""Is what the pipeline made what the bare chain made? Compared as multisets of rows, in the database and in the lake."""

import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import orjson
import polars as pl

from deploy.bench.bare import DATASET, OBJECT_PREFIX, TABLE
from shared.datasets.catalog import load_catalog
from shared.settings.datasets import DatasetSettings
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.settings.postgres import PostgresSettings
from shared.storage import keys
from shared.storage.object_store import ObjectStore, open_s3

_SUM_SQL = """
SELECT count(*) || ' rows, sum ' || coalesce(sum(hashtextextended(ROW({columns})::text, 0)::numeric), 0) FROM {table}
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """Each side is a number of rows and the sum of their hashes."""

    where: str
    bare: str
    pipeline: str


async def forget(environment: Mapping[str, str]) -> None:
    """Empties the dataset's table: the next run's keys are new to it, as the bare chain's are."""
    dataset = load_catalog(load_settings(DatasetSettings, environment).datasets_dir)[DATASET]
    connection = await _connect(environment)
    await connection.execute(f"TRUNCATE public.{dataset.table}")
    await connection.close()


async def compare(environment: Mapping[str, str], run_id: str) -> list[Difference]:
    """The places where a run's rows are not the bare chain's; none: they are equal. Memory is the lake's largest object."""
    dataset = load_catalog(load_settings(DatasetSettings, environment).datasets_dir)[DATASET]
    names = [column.name for column in dataset.columns]
    connection = await _connect(environment)
    in_table = {
        table: await connection.fetchval(_SUM_SQL.format(columns=", ".join(names), table=table))
        for table in (TABLE, dataset.table)
    }
    await connection.close()
    storage = load_settings(ObjectStoreSettings, environment)
    lake = open_s3(storage, storage.lake_bucket)
    listing = orjson.loads(await lake.get(keys.listing_key(run_id)) or b"{}")
    listed = [lake.key(file["uri"], "") for file in listing["datasets"][DATASET]["objects"]]
    bare = [found.key async for found in lake.list(OBJECT_PREFIX)]
    in_lake = [await _sum_of_objects(lake, chosen, names) for chosen in (bare, listed)]
    pairs = {
        "PostgreSQL": (in_table[TABLE], in_table[dataset.table]),
        "the lake": (in_lake[0], in_lake[1]),
    }
    return [Difference(where, *pair) for where, pair in pairs.items() if pair[0] != pair[1]]


async def _sum_of_objects(lake: ObjectStore, chosen: list[str], names: list[str]) -> str:
    rows = total = 0
    async for frame in _frames(lake, chosen, names):
        rows += len(frame)
        total += int(frame.hash_rows(seed=0).cast(pl.Decimal(38, 0)).sum())
    return f"{rows} rows, sum {total}"


async def _frames(lake: ObjectStore, chosen: list[str], names: list[str]) -> AsyncIterator[pl.DataFrame]:
    with tempfile.TemporaryDirectory(prefix="onpoint-bench-") as folder:
        file = Path(folder) / "object.parquet"
        for key in chosen:
            file.write_bytes(await lake.get(key) or b"")
            yield pl.read_parquet(file, columns=names)


async def _connect(environment: Mapping[str, str]) -> asyncpg.Connection:
    return await asyncpg.connect(load_settings(PostgresSettings, environment).postgres_dsn.get_secret_value())
