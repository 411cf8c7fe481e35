"""Exports of every type as Parquet: the same values, in types that Spark and Athena know."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from services.converter.formats import parquet
from services.converter.formats.base import clean_rows
from shared.datasets.arrow import data_schema
from shared.datasets.types import KINDS, Type
from tests.support.every_type import ENUM, PLAIN, TYPES, values
from tests.support.processed import a_dataset

SCALARS = (
    *(Type(KINDS[name]) for name in PLAIN),
    Type(KINDS["decimal"], 38, 10),
    Type(KINDS["enum"], values=ENUM),
)
NESTED = Type(KINDS["struct"], fields=tuple((f"f{place}", kind) for place, kind in enumerate(SCALARS)))
KNOWN_TO_SPARK = {"NONE", "STRING", "INT", "DECIMAL", "TIMESTAMP", "DATE", "LIST"}
"""The notes of Parquet's types that Spark 3.3 reads. It refuses a file with TIME, UUID or JSON."""


def exported(table: pa.Table, columns: dict[str, str], folder: Path) -> pq.ParquetFile:
    """As the converter writes it, by way of a clean file."""
    dataset = a_dataset(columns, key=["id"])
    pq.write_table(table, folder / "clean.parquet")
    with pq.ParquetFile(folder / "clean.parquet") as clean:
        parquet.write(clean_rows(clean, dataset), dataset.exports, folder / "export.parquet")
    return pq.ParquetFile(folder / "export.parquet")


def test_spark_and_athena_know_every_type(tmp_path: Path) -> None:
    columns = {"id": "int64"} | {f"c{place}": str(kind) for place, kind in enumerate((*SCALARS, NESTED))}
    schema = data_schema(a_dataset(columns, key=["id"]))
    with exported(schema.empty_table(), columns, tmp_path) as file:
        found = [file.schema.column(place) for place in range(len(file.schema))]
        assert {column.logical_type.type for column in found} <= KNOWN_TO_SPARK
        assert {column.physical_type for column in found} == {
            "INT32", "INT64", "FLOAT", "DOUBLE", "BOOLEAN", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY",
        }  # fmt: skip
        fixed = {column.logical_type.type for column in found if column.physical_type.startswith("FIXED")}
        assert fixed == {"DECIMAL"}


@settings(deadline=None, max_examples=50, phases=(Phase.explicit, Phase.generate))
@given(st.data())
def test_any_value_is_in_the_parquet(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    types = [*SCALARS, data.draw(TYPES), Type(KINDS["list"], item=data.draw(TYPES))]
    columns = {"id": "int64"} | {f"c{place}": str(kind) for place, kind in enumerate(types)}
    schema = data_schema(a_dataset(columns, key=["id"]))
    rows = data.draw(st.integers(1, 4))
    found = [data.draw(st.lists(values(kind), min_size=rows, max_size=rows)) for kind in types]
    stored = [list(range(rows)), *([value for _, value in column] for column in found)]
    arrays = [pa.array(column, field.type) for column, field in zip(stored, schema, strict=True)]
    table = pa.table(arrays, schema=schema)
    with exported(table, columns, tmp_path_factory.mktemp("export")) as file:
        # Arrow's schema in the file tells that a duration is one.
        assert file.read().cast(schema).equals(table)
