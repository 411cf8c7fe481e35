"""What an object of the lake costs in memory: a row group and a piece of its rows, however wide they are."""

from pathlib import Path

import pytest

from tests.support.wide_rows import ALLOWED_MIB, NARROW, WIDE, grown_mib

pytestmark = pytest.mark.long


AS_THEY_CAME = """
from shared.parquet.lake_file import READ_ROWS, open_lake_file
from shared.parquet.reader import open_clean, read_clean

def work():
    lake = open_lake_file(folder / "object.parquet", DATASET, {})
    with open_clean(file, DATASET, artifact) as parquet:
        for piece in read_clean(parquet, artifact, READ_ROWS):
            lake.append(piece)
    assert lake.finish() == artifact.rows
"""

SORTED = """
import pyarrow as pa
from services.s3sink.adapters.spool import Spool
from shared.datasets.arrow import clean_schema
from shared.parquet.lake_file import READ_ROWS, open_lake_file
from shared.parquet.reader import open_clean, read_clean

def work():
    lake = open_lake_file(folder / "object.parquet", DATASET, {})
    with Spool(folder / "spool.arrow", clean_schema(DATASET)) as spool:
        with open_clean(file, DATASET, artifact) as parquet:
            for piece in read_clean(parquet, artifact, READ_ROWS):
                spool.append(piece)
        numbers = pa.array(range(artifact.rows - 1, -1, -1), pa.int64())
        at_once = spool.rows_at_once(READ_ROWS)
        for start in range(0, artifact.rows, at_once):
            lake.append(spool.take(numbers.slice(start, at_once)))
    assert lake.finish() == artifact.rows
"""


@pytest.mark.parametrize("code", [AS_THEY_CAME, SORTED], ids=["as they came", "sorted"])
@pytest.mark.parametrize("shape", [WIDE, NARROW], ids=["rows of 10 MB", "rows of 10 bytes"])
def test_an_object_of_rows_of_any_width_is_written_in_bounded_memory(
    tmp_path: Path, shape: tuple[int, int], code: str
) -> None:
    assert grown_mib(code, tmp_path, shape) < ALLOWED_MIB[shape]
