"""The objects of datasets with a table format, on their way into the table: each is one commit."""

import asyncio

from services.s3sink.adapters.claim import Claim
from services.s3sink.domain import LakeObject
from shared import crashpoints
from shared.datasets.arrow import lake_schema
from shared.datasets.model import Dataset
from shared.lake.tables.lock import table_lock
from shared.lake.tables.open import LakeTables
from shared.lake.tables.port import TableFile

FRESH_S = 3.0
"""Since this process made an object `written`: too short for others to commit it and all that takes its marker away."""

PREPARED = 1_000
"""Schemas of which it is known that their table has them."""


class TableCommits:
    """A dataset without a table passes. Raises `TransientError` in an outage."""

    def __init__(self, tables: LakeTables) -> None:
        self._tables = tables
        self._prepared: set[str] = set()

    async def prepare(self, claim: Claim, dataset: Dataset) -> None:
        """The table is there and has the dataset's columns. Before an object is durable: what follows cannot be undone.

        Raises `TableRefusedError` for a column that has another type in the table.
        """
        if (table := self._tables.of(dataset)) is None:
            return
        schema = lake_schema(dataset)
        known = f"{dataset.lake.table} {dataset.name} {schema}"
        if known in self._prepared:
            return
        async with table_lock(claim.connection, dataset.name):
            await asyncio.to_thread(table.prepare, schema)
        if len(self._prepared) >= PREPARED:
            self._prepared.clear()
        self._prepared.add(known)

    async def commit(self, claim: Claim, dataset: Dataset, lake: LakeObject) -> None:
        """The object is in the table, once, whoever committed it."""
        if (table := self._tables.of(dataset)) is None:
            return
        files = [TableFile(file.uri, file.rows, file.bytes) for file in lake.files]
        try:
            async with table_lock(claim.connection, dataset.name):
                await asyncio.to_thread(
                    table.append,
                    claim.name,
                    files,
                    lake.written_at,
                    fresh_until_s=claim.written_at_s + FRESH_S,
                )
        except BaseException:
            self._prepared.clear()  # the table may have gone
            raise
        crashpoints.reach("s3sink.tabled")
