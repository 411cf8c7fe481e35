"""A stack that captures changes, and what tests do with it."""

import asyncio
import io
import json
from dataclasses import dataclass
from typing import Any

import asyncpg
import pyarrow as pa
import pyarrow.parquet as pq

from deploy.local.stack import LocalStack
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.storage.object_store import ObjectStore, open_s3
from tests.support.operator import CommandResult, Operator

MAX_AGE_S = "2"
"""Objects are closed early, so that a test does not wait for a minute."""

POSTS = """
INSERT INTO onpoint_posts (id, user_id, title, body, _run_id, _batch_id, _requested_at, _source_position, etl_processed_at)
SELECT g, g % 100, 'title ' || g, repeat('body ', 20) || g, $2, 'b', now(), g, now() FROM generate_series(1, $1::int) g
ON CONFLICT (id) DO UPDATE SET title = excluded.title, body = excluded.body, _run_id = excluded._run_id,
    _requested_at = excluded._requested_at, etl_processed_at = excluded.etl_processed_at
"""


@dataclass
class Capture:
    """The stack, its lake and its command line."""

    stack: LocalStack

    @property
    def lake(self) -> ObjectStore:
        found = self.environment
        keys = f"{found['AWS_ACCESS_KEY_ID']}:{found['AWS_SECRET_ACCESS_KEY']}"
        settings = load_settings(ObjectStoreSettings, {**found, "ONPOINT_S3_CREDENTIALS": keys})
        return open_s3(settings, settings.lake_bucket)

    @property
    def environment(self) -> dict[str, str]:
        return self.stack.environment()

    async def onpoint(self, *words: str, within_s: float = 240) -> CommandResult:
        return await Operator(self.environment).run(*words, within_s=within_s)

    async def connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(self.environment["ONPOINT_POSTGRES_DSN"])

    async def execute(self, *statements: str) -> None:
        """Each in a transaction of its own."""
        connection = await self.connect()
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def posts(self, rows: int, run: str) -> None:
        connection = await self.connect()
        try:
            await connection.execute(POSTS, rows, run)
        finally:
            await connection.close()

    async def register(self, *tables: str, identity: str = "full") -> None:
        found = await self.onpoint("cdc", "register", *tables, "--identity", identity)
        assert found.code == 0, found.err

    async def verify(self, table: str, timeout_s: int = 120) -> dict[str, Any]:
        """What `onpoint cdc verify` tells; also of a table that differs."""
        found = await self.onpoint("cdc", "verify", table, "--json", "--timeout", str(timeout_s))
        assert found.out, found.err
        document: dict[str, Any] = json.loads(found.out)
        assert found.code == (0 if document["equal"] else 1)
        return document

    async def names(self, table: str) -> list[tuple[int, int]]:
        """The ranges of offsets of the objects that are in the lake, in their order."""
        found = [each.key async for each in self.lake.list(f"cdc/{table}/")]
        ranges = [key.rsplit("/", 1)[1].removesuffix(".parquet").split("-") for key in found]
        return sorted((int(first), int(last)) for first, last in ranges)

    async def changes(self, table: str) -> pa.Table:
        """Every row of the lake's objects, in the order of the offsets."""
        tables = []
        async for each in self.lake.list(f"cdc/{table}/"):
            body = await self.lake.get(each.key)
            assert body is not None
            tables.append(pq.read_table(io.BytesIO(body)))
        return pa.concat_tables(tables, promote_options="permissive").sort_by("_offset")

    async def until_changes(self, table: str, wanted: int, within_s: float = 90) -> pa.Table:
        async with asyncio.timeout(within_s):
            while True:
                try:
                    found = await self.changes(table)
                except pa.ArrowInvalid:  # no object yet
                    found = None
                if found is not None and found.num_rows >= wanted:
                    return found
                await asyncio.sleep(0.5)


def has_no_gap(ranges: list[tuple[int, int]]) -> bool:
    """Whether the objects' names cover the offsets from 0 on, each once."""
    expected = 0
    for first, last in ranges:
        if first != expected or last < first:
            return False
        expected = last + 1
    return True
