"""What a file costs in memory does not grow with its rows."""

import subprocess
import sys
from pathlib import Path

import pytest

from shared.events.names import SUPPORTED_FORMATS
from tests.support.wide_rows import ALLOWED_MIB, NARROW, WIDE, grown_mib

pytestmark = pytest.mark.long


MEASURE = """
import resource, sys
from pathlib import Path
import pyarrow as pa
from services.converter.formats.base import Rows
from services.converter.formats.registry import FORMATS
from shared.datasets.exports import Exports

name, count, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
table = pa.table({"id": pa.array(range(10_000), pa.int64()), "text": [f"text {n} " * 30 for n in range(10_000)]})

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def write(pieces):
    FORMATS[name].write(Rows(table.schema, pieces * 10_000, lambda: [table] * pieces), Exports(), folder / name)

write(10)
before = peak()
write(count)
print(peak() - before)
"""
ALLOWED_KIB = 48 * 1024
"""The rows that are added have 120 MB, and an allocator keeps some of what it had."""


@pytest.mark.parametrize("name", SUPPORTED_FORMATS)
def test_memory_is_flat(tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, name, "40", str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(done.stdout) < ALLOWED_KIB


WRITE = """
from services.converter.formats.base import Layout, clean_rows
from services.converter.formats.registry import FORMATS
from shared.datasets.exports import Exports
from shared.parquet.reader import open_clean

def work():
    with open_clean(file, DATASET, artifact) as parquet:
        rows = clean_rows(parquet, Layout(DATASET, FORMATS["{name}"]))
        FORMATS["{name}"].write(rows, Exports(), folder / "export")
"""


@pytest.mark.parametrize("shape", [WIDE, NARROW], ids=["rows of 10 MB", "rows of 10 bytes"])
@pytest.mark.parametrize("name", [name for name in SUPPORTED_FORMATS if name != "xlsx"])
def test_rows_of_any_width_are_written_in_bounded_memory(
    tmp_path: Path, name: str, shape: tuple[int, int]
) -> None:
    """But for Excel, whose cells hold 32,767 characters."""
    assert grown_mib(WRITE.format(name=name), tmp_path, shape) < ALLOWED_MIB[shape]
