"""The printed statements: names, types, and the files that are left out."""

from dataclasses import replace

import pyarrow as pa
import pytest

from shared.lake.ddl import ENGINES, HOUR, Engine, LakeTable, statements

SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("a b", pa.struct([("x", pa.list_(pa.string()))])),
        ("at", pa.timestamp("us", tz="UTC")),
        ("price", pa.decimal128(10, 2)),
        ("year", pa.int32()),
    ]
)


def a_table(*, partitions: tuple[str, ...] = HOUR) -> LakeTable:
    return LakeTable("posts", "s3://lake", SCHEMA, partitions, ("c-1.parquet",), ("2.parquet",), ("old",))


@pytest.mark.parametrize("engine", ENGINES)
def test_every_program_gets_a_view_of_the_dataset(engine: Engine) -> None:
    text = statements(a_table(), engine)
    assert "CREATE OR REPLACE VIEW" in text
    assert "s3://lake/posts/" in text
    assert text.count("'") % 2 == 0


@pytest.mark.parametrize("engine", ["athena", "spark", "trino"])
def test_what_does_not_count_is_left_out_by_its_name(engine: Engine) -> None:
    text = statements(a_table(), engine)
    assert "NOT LIKE 'c-%'" in text
    assert "NOT IN ('2.parquet')" in text
    assert "IN ('c-1.parquet')" in text
    assert "_run_id NOT IN ('old')" in text


@pytest.mark.parametrize("engine", ["athena", "spark", "trino"])
def test_of_a_delta_table_the_log_tells_what_counts(engine: Engine) -> None:
    text = statements(replace(a_table(), kind="delta"), engine)
    assert "'s3://lake/posts'" in text
    assert "NOT LIKE 'c-%'" not in text
    assert "CREATE OR REPLACE VIEW" in text
    assert "_run_id NOT IN ('old')" in text


def test_an_iceberg_table_is_that_of_its_catalog() -> None:
    table = replace(a_table(), kind="iceberg", namespace="shop")
    assert 'FROM "onpoint"."shop"."posts"\nWHERE _run_id' in statements(table, "trino")
    assert "FROM `onpoint`.`shop`.`posts`\nWHERE _run_id" in statements(table, "spark")
    with pytest.raises(ValueError, match="ONPOINT_ICEBERG_CATALOG_URI"):
        statements(table, "athena")


def test_duckdb_reads_the_listing_whatever_the_table_format() -> None:
    assert statements(replace(a_table(), kind="delta"), "duckdb") == statements(a_table(), "duckdb")


def test_types_are_those_of_the_program() -> None:
    hive, trino = statements(a_table(), "athena"), statements(a_table(), "trino")
    assert "`a b` struct<`x`:array<string>>" in hive
    assert '"a b" row("x" array(varchar))' in trino
    assert "`at` timestamp" in hive
    assert '"at" timestamp(6)' in trino
    assert "decimal(10,2)" in hive


def test_a_column_that_is_named_as_a_partition_is_the_partition() -> None:
    assert statements(a_table(), "athena").count("`year`") == 1


def test_hours_are_projected_and_other_partitions_are_looked_for() -> None:
    assert "projection.hour.range" in statements(a_table(), "athena")
    other = statements(a_table(partitions=("country",)), "athena")
    assert "MSCK REPAIR TABLE" in other
    assert "projection" not in other
