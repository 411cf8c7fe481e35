"""The options of the lake in a dataset's file: a wrong one is refused with its line and what to write."""

from pathlib import Path

import pytest

from shared.datasets.catalog import DatasetFile, RefusedFile, read_file
from shared.datasets.lake import Lake, Partition

GOOD = """\
name: things
source: {name: shop, kind: api, base_url: "https://shop.example", path: /things, pagination: {kind: none}}
table: things
key: [id]
columns:
  - {name: id, type: int64}
  - {name: at, type: timestamp}
  - {name: born, type: date}
  - {name: price, type: "decimal(9,2)"}
  - {name: tags, type: list<string>}
  - {name: part_born, type: string}
lake:
"""


def read(folder: Path, options: str) -> DatasetFile | RefusedFile:
    file = folder / "things.yaml"
    file.write_text(f"{GOOD}  {options}\n", encoding="utf-8")
    return read_file(file, {})


REFUSED = {
    "partition_by: [at.week]": "lake.partition_by 1: 'at.week' is no partition: write run.hour, a column",
    "partition_by: [run]": "lake.partition_by 1: the time of the run needs a unit: run.hour",
    "partition_by: []": "lake.partition_by: it is empty",
    "partition_by: [at]": "lake.partition_by 1: each moment would have a folder: write a unit, such as at.day",
    "partition_by: [born.hour]": "lake.partition_by 1: born is a date: it has no hours",
    "partition_by: [id.day]": "lake.partition_by 1: id is of type int64: only a timestamp or a date has units",
    "partition_by: [id, price]": "lake.partition_by 2: price is of type decimal(9,2): folders are of int8",
    "partition_by: [born]": "lake.partition_by 1: its folders would be named like the column part_born: rename",
    "partition_by: [colour]": "lake.partition_by 1: no such column: colour",
    "partition_by: [id, id]": "lake.partition_by: a name is there twice",
    "partition_by: [run.day, run.hour]": "lake.partition_by: the time of the run is there twice",
    "sort_by: [tags]": "lake.sort_by 1: tags is of type list<string>, and no column of type list is sorted by",
    "sort_by: [colour]": "lake.sort_by 1: no such column: colour",
    "bloom: [tags]": "lake.bloom 1: tags is of type list<string>, and no column of type list has a Bloom filter",
    "codec: lzo": "lake.codec: lzo is none of zstd, gzip, snappy",
    "{codec: snappy, level: 1}": "lake.level: snappy has no levels",
    "{codec: gzip, level: 10}": "lake.level: 10 is no level of gzip: it has 1 to 9",
    "table: hudi": "lake.table: hudi is none of delta, iceberg",
    "row_group_rows: 10": "lake.row_group_rows: 10 is too small: 1,000 is the least",
    "partition: [id]": "lake: there is no field `partition` here: did you mean `partition_by`?",
}


@pytest.mark.parametrize("options", REFUSED)
def test_a_wrong_option_is_refused_with_its_line(tmp_path: Path, options: str) -> None:
    found = read(tmp_path, options)
    assert isinstance(found, RefusedFile)
    assert found.line == 13
    assert found.reason.startswith(REFUSED[options])


def test_a_dataset_without_options_is_sorted_by_its_key_in_the_hours_of_its_runs(tmp_path: Path) -> None:
    found = read(tmp_path, "{}")
    assert isinstance(found, DatasetFile)
    assert found.dataset.lake == Lake()
    assert found.dataset.lake_order == ("id",)
    assert found.dataset.lake.is_by_hour_of_run


def test_levels_of_folders_are_read(tmp_path: Path) -> None:
    found = read(tmp_path, "{partition_by: [run.day, at.month, id], sort_by: []}")
    assert isinstance(found, DatasetFile)
    assert found.dataset.lake.partitions == (
        Partition(None, "day"),
        Partition("at", "month"),
        Partition("id", None),
    )
    assert found.dataset.lake.partition_columns == ("at", "id")
    assert found.dataset.lake_order == ()


def test_a_table_keeps_its_types(tmp_path: Path) -> None:
    file = tmp_path / "things.yaml"
    file.write_text(f"{GOOD}  table: iceberg\nschema: {{types: widen}}\n", encoding="utf-8")
    found = read_file(file, {})
    assert isinstance(found, RefusedFile)
    assert found.reason.startswith("schema.types: widen cannot be together with lake.table")
