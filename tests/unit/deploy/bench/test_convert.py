from pathlib import Path

import fastavro
import openpyxl
import pandas as pd

from deploy.bench.convert import OTHERS, make_rows, measure
from shared.events.names import SUPPORTED_FORMATS


def test_each_format_is_measured_and_those_with_another_writer_are_compared() -> None:
    found = measure(rows=200, repeat=1)
    assert [one["format"] for one in found] == list(SUPPORTED_FORMATS)
    assert [one["format"] for one in found if "ratio" in one] == list(OTHERS)
    assert all(one["seconds"] > 0 and one["bytes"] > 0 for one in found)


def test_the_others_write_every_row(tmp_path: Path) -> None:
    table = make_rows(300)
    files = {name: tmp_path / name for name in OTHERS}
    for name, other in OTHERS.items():
        other.write(table, files[name])
    assert len(pd.read_csv(files["csv"], compression="gzip")) == 300
    assert len(pd.read_json(files["json"], lines=True, compression="gzip")) == 300
    with files["avro"].open("rb") as avro:
        assert list(fastavro.reader(avro)) == table.to_pylist()
    with files["xlsx"].open("rb") as xlsx:
        assert sum(1 for _ in openpyxl.load_workbook(xlsx).worksheets[0].iter_rows()) == 301
