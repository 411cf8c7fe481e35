"""The bare chain: the least that one program must do for the same result, with the same libraries and servers.

It fetches the same pages, parses them with polars, puts the lake's Parquet once to the same object store and COPYs
the rows into a table of the same form; no bus, no manifests, nothing that survives a kill. Fetching, parsing,
putting and loading overlap. A process of its own, so that its cost is measured apart; prints the seconds it took.

    python -m deploy.bench.bare http://127.0.0.1:9100 1000000
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import uvloop
from pgpq import ArrowToPostgresBinaryEncoder

from shared.datasets.arrow import clean_schema
from shared.datasets.catalog import load_catalog
from shared.datasets.model import Dataset
from shared.postgres.migrations import create_table_sql
from shared.settings.datasets import DatasetSettings
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.settings.postgres import PostgresSettings
from shared.storage.object_store import ObjectStore, open_s3

DATASET = "posts"
TABLE = "onpoint_bench_bare"
OBJECT_PREFIX = "bench/bare/"
PAGES_AT_ONCE = 8
GROUP_PAGES = 50
"""Parsed, encoded and copied together: as many rows as a batch of the pipeline has."""
GROUPS_WAITING = 2
OBJECT_BYTES = 64 * 2**20
RUN_ID, BATCH_ID = "bare", "0" * 32


async def run(url: str, rows: int, page_rows: int) -> float:
    """Seconds from the first request to the last effect. The table and the lake's prefix are made anew."""
    storage, postgres = load_settings(ObjectStoreSettings), load_settings(PostgresSettings)
    dataset = load_catalog(load_settings(DatasetSettings).datasets_dir)[DATASET]
    lake = open_s3(storage, storage.lake_bucket)
    async for found in lake.list(OBJECT_PREFIX):
        await lake.delete(found.key)
    bare = dataset.model_copy(update={"table": TABLE})
    connection = await asyncpg.connect(postgres.postgres_dsn.get_secret_value())
    await connection.execute(f"DROP TABLE IF EXISTS public.{TABLE}")
    await connection.execute(create_table_sql(bare))
    started_s = time.perf_counter()
    to_lake: asyncio.Queue[pa.Table | None] = asyncio.Queue(GROUPS_WAITING)
    to_table: asyncio.Queue[pa.Table | None] = asyncio.Queue(GROUPS_WAITING)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_store(lake, clean_schema(dataset), to_lake))
        tasks.create_task(_load(connection, to_table))
        async for pages in _fetch(f"{url}{dataset.source.path}", rows, page_rows):
            table = await asyncio.to_thread(_parse, pages, dataset)
            await to_lake.put(table)
            await to_table.put(table)
        await to_lake.put(None)
        await to_table.put(None)
    taken_s = time.perf_counter() - started_s
    await connection.close()
    return taken_s


async def _fetch(url: str, rows: int, page_rows: int) -> AsyncIterator[list[bytes]]:
    """Groups of pages in order, the next ones under way meanwhile."""
    pages = -(-rows // page_rows)
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def get(page: int) -> bytes:
            async with session.get(url, params={"_page": str(page), "_limit": str(page_rows)}) as response:
                response.raise_for_status()
                return await response.read()

        pending: list[asyncio.Task[bytes]] = []
        group: list[bytes] = []
        asked = 0
        while asked < pages or pending:
            while asked < pages and len(pending) < PAGES_AT_ONCE:
                asked += 1
                pending.append(asyncio.create_task(get(asked)))
            group.append(await pending.pop(0))
            if len(group) == GROUP_PAGES:
                yield group
                group = []
        if group:
            yield group


def _parse(pages: list[bytes], dataset: Dataset) -> pa.Table:
    types: dict[str, Any] = {"string": pl.String, "int64": pl.Int64}
    schema = {column.path[0]: types[column.type] for column in dataset.columns}
    frame = pl.concat([pl.read_json(page, schema=schema) for page in pages]).rename(
        {column.path[0]: column.name for column in dataset.columns}
    )
    rows = frame.with_columns(
        pl.lit(RUN_ID).alias("_run_id"),
        pl.lit(BATCH_ID).alias("_batch_id"),
        pl.lit(datetime.now(UTC)).cast(pl.Datetime("us", "UTC")).alias("_requested_at"),
        (pl.col(dataset.key[0]) - 1).alias("_source_position"),
    )
    return rows.to_arrow().cast(clean_schema(dataset))


async def _store(lake: ObjectStore, schema: pa.Schema, groups: asyncio.Queue[pa.Table | None]) -> None:
    with tempfile.TemporaryDirectory(prefix="onpoint-bare-") as folder:
        file = Path(folder) / "object.parquet"
        number = 0
        group = await groups.get()
        while group is not None:
            writer = pq.ParquetWriter(file, schema, compression="zstd", compression_level=2)
            while group is not None:
                await asyncio.to_thread(writer.write_table, group)
                group = await groups.get()
                if file.stat().st_size >= OBJECT_BYTES:
                    break
            await asyncio.to_thread(writer.close)
            await lake.put(f"{OBJECT_PREFIX}{number:05}.parquet", file)
            number += 1


async def _load(connection: asyncpg.Connection, groups: asyncio.Queue[pa.Table | None]) -> None:
    while (group := await groups.get()) is not None:
        table = group.append_column(
            pa.field("etl_processed_at", pa.timestamp("us", tz="UTC"), nullable=False),
            group.column("_requested_at"),
        )
        await connection.copy_to_table(
            TABLE, source=_encode(table), columns=table.schema.names, format="binary"
        )


async def _encode(table: pa.Table) -> AsyncIterator[bytes]:
    encoder = ArrowToPostgresBinaryEncoder(table.schema)
    yield encoder.write_header()
    for batch in table.to_batches(max_chunksize=16_384):
        yield await asyncio.to_thread(encoder.write_batch, batch)
    yield encoder.finish()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deploy.bench.bare", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("rows", type=int)
    parser.add_argument("--page-rows", type=int, default=1000)
    options = parser.parse_args()
    sys.stdout.write(f"{uvloop.run(run(options.url, options.rows, options.page_rows)):.3f}\n")


if __name__ == "__main__":
    main()
