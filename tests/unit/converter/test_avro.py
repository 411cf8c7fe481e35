"""Avro files, read back by fastavro and duckdb."""

import datetime as dt
import errno
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pytest
from hypothesis import given, settings

from services.converter.formats import avro
from services.converter.formats.avro_marker import set_marker
from shared.datasets.exports import Exports
from tests.support.exports import UTC_TIMES, column_of, rows_of, tables, write


def records_of(file: Path) -> list[Any]:
    return list(fastavro.reader(io.BytesIO(file.read_bytes())))


@settings(deadline=None, max_examples=50)
@given(tables())
def test_every_value_is_read_back(tmp_path_factory: pytest.TempPathFactory, table: pa.Table) -> None:
    expected = table.to_pylist()
    for row in expected:
        for field in table.schema:
            if pa.types.is_duration(field.type) and row[field.name] is not None:
                row[field.name] = row[field.name] // dt.timedelta(microseconds=1)
    assert records_of(write("avro", table, tmp_path_factory.mktemp("avro"), pieces=2)) == expected


@pytest.mark.parametrize("compression", ["snappy", "zstd", "deflate", "none"])
@pytest.mark.parametrize("rows", [0, 1, 25_000])
def test_each_compression_is_read_back_and_gives_the_same_bytes(
    tmp_path: Path, compression: str, rows: int
) -> None:
    table = pa.table({"id": pa.array(range(rows), pa.int64())})
    file = write("avro", table, tmp_path, {"compression": compression}, pieces=3)
    first = file.read_bytes()
    assert [row["id"] for row in records_of(file)] == list(range(rows))
    assert write("avro", table, tmp_path, {"compression": compression}, pieces=3).read_bytes() == first


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (
            Decimal("1.20"),
            pa.decimal128(30, 2),
            {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 2},
        ),
        (dt.date(1, 1, 1), pa.date32(), {"type": "int", "logicalType": "date"}),
        (dt.time(1, 2, 3, 4), pa.time64("us"), {"type": "long", "logicalType": "time-micros"}),
        (
            dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
            UTC_TIMES,
            {"type": "long", "logicalType": "timestamp-micros"},
        ),
        (1, pa.int8(), "int"),
        (1, pa.int64(), "long"),
        (1.5, pa.float32(), "float"),
    ],
)
def test_types_are_those_of_avro(tmp_path: Path, value: Any, kind: pa.DataType, expected: Any) -> None:
    with write("avro", column_of(value, kind), tmp_path).open("rb") as file:
        schema = fastavro.reader(file).writer_schema
    assert isinstance(schema, dict)
    assert schema["fields"][1]["type"] == ["null", expected]


def test_other_content_has_another_marker(tmp_path: Path) -> None:
    ends = {
        write("avro", column_of(value, pa.int64()), tmp_path).read_bytes()[-16:] for value in (1, 2, None)
    }
    assert len(ends) == 3


def test_a_block_that_is_cut_is_refused(tmp_path: Path) -> None:
    file = write("avro", column_of("x" * 1000, pa.string()), tmp_path, {"compression": "none"})
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match="ends before its time"):
        set_marker(file)
    file.write_bytes(b"no Avro")
    with pytest.raises(ValueError, match="an Avro file is expected"):
        set_marker(file)


def test_a_full_disk_is_an_error_of_the_system() -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        avro.write(rows_of(column_of("x" * 1000, pa.string(), 10_000)), Exports(), Path("/dev/full"))
    assert caught.value.errno == errno.ENOSPC


def test_a_text_of_ten_megabytes_is_whole(tmp_path: Path) -> None:
    text = "é\n" * (5 * 2**20 // 2)
    assert records_of(write("avro", column_of(text, pa.string()), tmp_path)) == [{"id": 0, "value": text}]
