"""The options of exports in a dataset's file: a wrong one is refused with its line and what to write."""

from pathlib import Path

import pytest

from shared.datasets.catalog import DatasetFile, RefusedFile, read_file
from shared.datasets.exports import Exports
from shared.datasets.frozen import dump
from shared.datasets.model import Dataset

GOOD = """\
name: things
source: {name: shop, kind: api, base_url: "https://shop.example", path: /things, pagination: {kind: none}}
table: things
key: [id]
columns: [{name: id, type: int64}]
exports:
"""


def read(folder: Path, options: str) -> DatasetFile | RefusedFile:
    file = folder / "things.yaml"
    file.write_text(f"{GOOD}  {options}\n", encoding="utf-8")
    return read_file(file, {})


REFUSED = {
    "csv: {delimiter: ab}": "exports.csv.delimiter: it has 2 characters: at most 1 are taken",
    "csv: {delimiter: a}": "exports.csv.delimiter: 'a' cannot stand between fields",
    "csv: {delimiter: ''}": "exports.csv.delimiter: it is empty",
    "csv: {quote: some}": "exports.csv.quote: some is none of minimal, all",
    "csv: {decimal_comma: true}": "exports.csv.decimal_comma: a comma is the delimiter too: write `delimiter: ;`",
    "csv: {null_text: 'a\"b'}": "exports.csv.null_text: 'a\"b' cannot stand for null",
    "csv: {delimiter: ;, null_text: ;}": "exports.csv.null_text: ';' holds the delimiter",
    "csv: {date_format: '%d.%Q'}": "exports.csv.date_format: %Q is not known here: there are %Y",
    "csv: {date_format: '%H'}": "exports.csv.date_format: %H is not known here",
    "csv: {timestamp_format: '%'}": "exports.csv.timestamp_format: % is not known here",
    "csv: {level: 9}": "exports.csv.level: 9 is no level of gzip: it has 0 to 3",
    "csv: {compression: none, level: 1}": "exports.csv.level: none has no levels",
    "csv: {header: false}": "exports.csv: there is no field `header` here: there are delimiter, quote",
    "json: {shape: table}": "exports.json.shape: table is none of lines, array",
    "json: {compression: zstd, level: 0}": "exports.json.level: 0 is no level of zstd: it has 1 to 19",
    "parquet: {compression: snappy, level: 3}": "exports.parquet.level: snappy has no levels",
    "parquet: {row_group_rows: 10}": "exports.parquet.row_group_rows: 10 is too small: 1,000 is the least",
    "xlsx: {time: round}": "exports.xlsx: there is no field `time` here: did you mean `times`?",
    "feather: {compression: gzip}": "exports.feather.compression: gzip is none of zstd, lz4, none",
    "avro: [snappy]": "exports.avro: a mapping is expected, not a list",
    "docx: {}": "exports: there is no field `docx` here: there are",
}


@pytest.mark.parametrize("options", REFUSED)
def test_a_wrong_option_is_refused_with_its_line(tmp_path: Path, options: str) -> None:
    found = read(tmp_path, options)
    assert isinstance(found, RefusedFile)
    assert found.line == 7
    assert found.reason.startswith(REFUSED[options])


def test_a_run_is_frozen_with_the_options_that_its_file_names(tmp_path: Path) -> None:
    found = read(tmp_path, 'csv: {delimiter: "\\t", level: 0}\n  json: {shape: array}')
    assert isinstance(found, DatasetFile)
    frozen = Dataset.model_validate_json(dump(found.dataset))
    assert frozen.exports == found.dataset.exports
    assert (frozen.exports.csv.delimiter, frozen.exports.json_.shape) == ("\t", "array")
    assert frozen.exports.xlsx == Exports().xlsx
