"""Spark 3.5 reads Parquet and Avro, value for value."""

from pathlib import Path
from typing import Any

import pytest

from shared.events.names import Format
from tests.readers.source import NO_NUMBERS_COLUMNS, TYPES, stored
from tests.readers.values import differences, value_of

pytestmark = [pytest.mark.readers, pytest.mark.timeout(240)]


@pytest.mark.parametrize("column", ["id", *TYPES])
@pytest.mark.parametrize("name", ["parquet", "avro"])
def test_every_value_is_that_of_the_source(
    spark: dict[Path, dict[str, Any]], files: dict[Format, Path], name: Format, column: str
) -> None:
    found = [value_of(column, row[column]) for row in spark[files[name]]["rows"]]
    assert differences(stored(tuple(TYPES))[column].to_pylist(), found) == []


@pytest.mark.parametrize("column", NO_NUMBERS_COLUMNS)
@pytest.mark.parametrize("name", ["parquet", "avro"])
def test_infinities_and_no_numbers_are_read(
    spark: dict[Path, dict[str, Any]], odd_files: dict[Format, Path], name: Format, column: str
) -> None:
    found = [value_of(column, row[column]) for row in spark[odd_files[name]]["rows"]]
    assert differences(stored(NO_NUMBERS_COLUMNS)[column].to_pylist(), found) == []


@pytest.mark.parametrize(("name", "small"), [("parquet", ("tinyint", "smallint")), ("avro", ("int", "int"))])
def test_types_are_the_declared_ones_as_far_as_the_format_has_them(
    spark: dict[Path, dict[str, Any]], files: dict[Format, Path], name: Format, small: tuple[str, str]
) -> None:
    types = spark[files[name]]["types"]
    assert (types["tiny"], types["small"]) == small
    declared = {"medium": "int", "big": "bigint", "single": "float", "whole": "decimal(38,0)", "at": "timestamp",
                "day": "date", "lasts": "bigint", "opens": "string", "token": "string", "raw": "binary",
                "sums": "array<decimal(10,2)>", "place": "struct<lat:double,day:date,note:string>"}  # fmt: skip
    assert {column: types[column] for column in declared} == declared
