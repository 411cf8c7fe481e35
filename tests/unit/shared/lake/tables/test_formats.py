"""Both table formats on a folder: what is committed is read back by polars and duckdb, value for value."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog

from shared.datasets.arrow import clean_schema, lake_schema
from shared.datasets.lake import TableKind
from shared.datasets.model import Dataset
from shared.lake.tables.delta import DeltaLakeTable
from shared.lake.tables.errors import TableRefusedError, TableUnavailableError
from shared.lake.tables.iceberg import IcebergTable
from shared.lake.tables.port import LakeTable, TableFile
from shared.parquet.lake_file import open_lake_file
from tests.support.tables import FORMATS, ROWS, TYPES, posts, read_iceberg

AT = datetime(2026, 11, 23, 4, 5, 6, 123456, tzinfo=UTC)
Row = Mapping[str, Any]


@dataclass
class Folder:
    kind: TableKind
    path: Path
    catalog: Catalog | None

    def table(self) -> LakeTable:
        """As another process opens it."""
        location = str(self.path / "posts")
        if self.catalog is None:
            return DeltaLakeTable(location, {})
        catalog = self.catalog
        return IcebergTable(lambda: catalog, ("onpoint", "posts"), location)

    def write(self, name: str, dataset: Dataset, rows: Sequence[Row]) -> TableFile:
        lineage = {"_run_id": "run", "_batch_id": "batch", "_requested_at": AT}
        complete = [{**lineage, "_source_position": place, **row} for place, row in enumerate(rows)]
        path = self.path / "posts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lake = open_lake_file(path, dataset, {})
        lake.append(pa.Table.from_pylist(complete, schema=clean_schema(dataset)))
        lake.finish()
        return TableFile(str(path), len(rows), path.stat().st_size)

    def by_polars(self) -> pl.DataFrame:
        if self.catalog is None:
            return pl.scan_delta(str(self.path / "posts")).collect()
        return read_iceberg(self.catalog.load_table("onpoint.posts"))

    def by_duckdb(self, query: str) -> list[Any]:
        """`query` is of a relation `found`."""
        if self.catalog is None:
            rows = DeltaTable(str(self.path / "posts")).to_pyarrow_dataset()
            with duckdb.connect() as connection:
                return connection.register("found", rows).sql(query).fetchall()
        with self.catalog.load_table("onpoint.posts").scan().to_duckdb("found") as connection:
            return connection.sql(query).fetchall()


@pytest.fixture(params=FORMATS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Folder]:
    if request.param == "delta":
        yield Folder("delta", tmp_path, None)
        return
    catalog = SqlCatalog("onpoint", uri=f"sqlite:///{tmp_path}/catalog.db")
    yield Folder("iceberg", tmp_path, catalog)
    catalog.close()


def begun(folder: Folder, columns: dict[str, str] | None = None) -> Dataset:
    dataset = posts(folder.kind, columns)
    folder.table().prepare(lake_schema(dataset))
    return dataset


def test_every_type_is_read_as_it_was_written(folder: Folder) -> None:
    dataset = begun(folder, TYPES)
    file = folder.write("part_a=x%2Fy %/1.parquet", dataset, ROWS)
    folder.table().append("one", [file], AT, fresh_until_s=math.inf)
    assert folder.by_polars().sort("id").select(list(TYPES)).to_dicts() == ROWS
    found = folder.by_duckdb(f"SELECT {', '.join(TYPES)} FROM found ORDER BY id")
    assert [dict(zip(TYPES, row, strict=True)) for row in found] == ROWS


def test_no_condition_leaves_out_a_file_that_has_its_rows(folder: Folder) -> None:
    dataset = begun(folder, TYPES)
    for place, row in enumerate(ROWS):
        folder.table().append(
            str(place), [folder.write(f"{place}.parquet", dataset, [row])], AT, fresh_until_s=math.inf
        )
    for condition in (
        "seen_at > TIMESTAMPTZ '2026-11-23 04:05:06.123455+00'",
        "seen_at = TIMESTAMPTZ '2026-11-23 04:05:06.123456+00'",
        "born = DATE '0001-01-01'",
        "whole = -2147483648",
        "state = 'new'",
        "wide < 0.2",
        "is_new",
        "price > 0",
        "place IS NOT NULL",
        "tags IS NOT NULL",
    ):
        assert folder.by_duckdb(f"SELECT id FROM found WHERE {condition}") == [(ROWS[0]["id"],)], condition


@pytest.mark.parametrize("fresh_until_s", [math.inf, 0], ids=["fresh", "late"])
def test_the_same_object_is_one_commit(folder: Folder, fresh_until_s: float) -> None:
    dataset = begun(folder)
    file = folder.write("1.parquet", dataset, [{"id": 1}])
    for _ in range(3):
        folder.table().append("one", [file], AT, fresh_until_s=fresh_until_s)
    assert folder.by_polars().height == 1


def test_an_object_that_a_compaction_replaced_does_not_come_back(folder: Folder) -> None:
    dataset = begun(folder)
    files = [folder.write(f"{place}.parquet", dataset, [{"id": place}]) for place in range(2)]
    for place, file in enumerate(files):
        folder.table().append(str(place), [file], AT, fresh_until_s=math.inf)
    one = folder.write("c-1.parquet", dataset, [{"id": place} for place in range(2)])
    for _ in range(2):
        folder.table().replace("both", [file.uri for file in files], one, AT, is_reduced=False)
    folder.table().append("0", [files[0]], AT, fresh_until_s=0)
    state = folder.table().state()
    assert state is not None
    assert state.files == {one.uri}
    assert sorted(folder.by_polars()["id"].to_list()) == [0, 1]


def test_what_the_table_lacks_is_not_replaced(folder: Folder) -> None:
    dataset = begun(folder)
    files = [folder.write(f"{place}.parquet", dataset, [{"id": place}]) for place in range(2)]
    folder.table().append("0", [files[0]], AT, fresh_until_s=math.inf)
    one = folder.write("c-1.parquet", dataset, [{"id": 0}, {"id": 1}])
    with pytest.raises(TableRefusedError, match=r"1\.parquet is not in the table"):
        folder.table().replace("both", [file.uri for file in files], one, AT, is_reduced=False)
    assert folder.by_polars()["id"].to_list() == [0]


def test_new_columns_are_null_in_earlier_rows_and_a_narrower_number_is_no_other_type(folder: Folder) -> None:
    first = begun(folder, {"id": "int8"})
    folder.table().append("1", [folder.write("1.parquet", first, [{"id": 1}])], AT, fresh_until_s=math.inf)
    second = begun(folder, {"id": "int64", "votes": "int32", "tags": "list<string>"})
    row = {"id": 2**63 - 1, "votes": 7, "tags": ["a", None]}
    folder.table().append("2", [folder.write("2.parquet", second, [row])], AT, fresh_until_s=math.inf)
    found = folder.by_polars().sort("id").select("id", "votes", "tags").rows()
    assert found == [(1, None, None), (2**63 - 1, 7, ["a", None])]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("string", "int64"),
        ("int64", "string"),
        ("int64", "float64"),
        ("decimal(10,2)", "decimal(12,2)"),
        ("list<string>", "list<int64>"),
        ("struct<a: int64>", "struct<a: int64, b: int64>"),
    ],
)
def test_a_column_of_another_type_is_refused_by_its_name(folder: Folder, before: str, after: str) -> None:
    begun(folder, {"id": "int64", "what": before})
    with pytest.raises(TableRefusedError, match=r"column what is .* give the column another name"):
        begun(folder, {"id": "int64", "what": after})


@pytest.mark.parametrize("call", ["append", "replace"])
def test_a_table_that_is_gone_is_waited_for(folder: Folder, call: str) -> None:
    file = folder.write("1.parquet", posts(folder.kind), [{"id": 1}])
    calls: dict[str, Callable[[], None]] = {
        "append": lambda: folder.table().append("one", [file], AT, fresh_until_s=math.inf),
        "replace": lambda: folder.table().replace("one", [file.uri], file, AT, is_reduced=False),
    }
    with pytest.raises(TableUnavailableError, match="is gone"):
        calls[call]()


def test_a_table_that_was_never_made_has_no_state(folder: Folder) -> None:
    assert folder.table().state() is None


def test_what_a_commit_costs_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of Iceberg old snapshots expire; an object whose marker is gone with them is known by its files."""
    monkeypatch.setattr("shared.lake.tables.iceberg.SNAPSHOTS_KEPT", 3)
    catalog = SqlCatalog("onpoint", uri=f"sqlite:///{tmp_path}/catalog.db")
    folder = Folder("iceberg", tmp_path, catalog)
    dataset = begun(folder)
    files = [folder.write(f"{place}.parquet", dataset, [{"id": place}]) for place in range(12)]
    for place, file in enumerate(files):
        folder.table().append(f"object {place}", [file], AT, fresh_until_s=math.inf)
        assert len(catalog.load_table("onpoint.posts").metadata.snapshots) <= 6
    folder.table().append("object 0", [files[0]], AT, fresh_until_s=0)
    assert sorted(folder.by_polars()["id"].to_list()) == list(range(12))
    catalog.close()
