"""Tables of the lake as other programs read them: duckdb and polars, by the formats' own libraries."""

import warnings
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import polars as pl
from deltalake import DeltaTable
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from shared.datasets.lake import TableKind
from shared.datasets.model import Dataset
from shared.lake.tables.open import LakeTables, delta_options, iceberg_options, open_catalog
from shared.lake.tables.settings import TableSettings
from shared.settings.object_store import ObjectStoreSettings
from shared.storage.object_store import ObjectStore
from tests.support.processed import a_dataset

FORMATS: tuple[TableKind, ...] = ("delta", "iceberg")

TYPES = {
    "id": "int64",
    "tiny": "int8",
    "small": "int16",
    "whole": "int32",
    "narrow": "float32",
    "wide": "float64",
    "price": "decimal(38,9)",
    "is_new": "boolean",
    "seen_at": "timestamp",
    "born": "date",
    "opens": "time",
    "lasts": "duration",
    "token": "uuid",
    "raw": "binary",
    "extra": "json",
    "state": "enum(new, paid)",
    "tags": "list<string>",
    "place": "struct<lat: float32, names: list<int16>>",
}
"""Each type of a dataset file."""

ROWS: list[dict[str, Any]] = [
    {
        "id": -(2**63),
        "tiny": -128,
        "small": 2**15 - 1,
        "whole": -(2**31),
        "narrow": 2**-149,
        "wide": 0.1,
        "price": Decimal("12345678901234567890123456789.123456789"),
        "is_new": True,
        "seen_at": datetime(2026, 11, 23, 4, 5, 6, 123456, tzinfo=UTC),
        "born": date(1, 1, 1),
        "opens": "23:59:59.999999",
        "lasts": -(2**62),
        "token": "123e4567-e89b-12d3-a456-426614174000",
        "raw": b"\x00\xff",
        "extra": '{"a": [1, null]}',
        "state": "new",
        "tags": ["", None, "ü"],
        "place": {"lat": -1.25, "names": [1, None, -(2**15)]},
    },
    {name: 0 if name == "id" else None for name in TYPES},
]


def posts(kind: str, columns: dict[str, str] | None = None) -> Dataset:
    plain = a_dataset(columns or {"id": "int64", "title": "string"}, key=["id"], name="posts")
    return plain.model_copy(update={"lake": plain.lake.model_copy(update={"table": kind})})


def read_iceberg(table: Table, options: dict[str, str] | None = None) -> pl.DataFrame:
    """By polars, which warns that another package would plan its scan faster."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pl.exceptions.PerformanceWarning)
        return pl.scan_iceberg(table, storage_options=options).collect()


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
        return read_iceberg(self.catalog.load_table(("onpoint", dataset)), options)

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
