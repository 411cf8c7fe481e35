"""Tables of the lake as other programs read them: duckdb and polars, by the formats' own libraries."""

from dataclasses import dataclass
from typing import Any

import duckdb
import polars as pl
from deltalake import DeltaTable
from pyiceberg.catalog import Catalog

from shared.lake.tables.open import LakeTables, delta_options, iceberg_options, open_catalog
from shared.lake.tables.settings import TableSettings
from shared.settings.object_store import ObjectStoreSettings
from shared.storage.object_store import ObjectStore

FORMATS = ("delta", "iceberg")


@dataclass
class TableReader:
    storage: ObjectStoreSettings
    lake: ObjectStore
    postgres_dsn: str

    @property
    def tables(self) -> LakeTables:
        """New ones, as of another process."""
        return LakeTables(self.storage, self.lake, TableSettings(), self.postgres_dsn)

    @property
    def catalog(self) -> Catalog:
        return open_catalog(TableSettings(), self.postgres_dsn, iceberg_options(self.storage))

    def delta(self, dataset: str) -> DeltaTable:
        return DeltaTable(self.lake.uri(dataset), storage_options=delta_options(self.storage))

    def by_polars(self, kind: str, dataset: str) -> pl.DataFrame:
        options = {
            name: value for name, value in delta_options(self.storage).items() if name.startswith("aws_")
        }
        if kind == "delta":
            return pl.scan_delta(self.lake.uri(dataset), storage_options=options).collect()
        return pl.scan_iceberg(self.catalog.load_table(("onpoint", dataset))).collect()

    def by_duckdb(self, kind: str, dataset: str, query: str) -> list[Any]:
        """`query` is of a relation `rows`."""
        if kind == "delta":
            rows: Any = self.delta(dataset).to_pyarrow_dataset()
            with duckdb.connect() as connection:
                return connection.register("rows", rows).sql(query).fetchall()
        with self.catalog.load_table(("onpoint", dataset)).scan().to_duckdb("rows") as connection:
            return connection.sql(query).fetchall()

    def commits(self, kind: str, dataset: str) -> int:
        """That added or replaced files."""
        if kind == "delta":
            return sum(one["operation"] == "WRITE" for one in self.delta(dataset).history())
        return len(self.catalog.load_table(("onpoint", dataset)).metadata.snapshots)
