"""Clean files of rows of any width, and the memory of what reads them: run in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from services.processor.adapters.clean_file import ROW_GROUPS
from shared.datasets.arrow import clean_schema
from shared.datasets.model import Dataset
from shared.events.models import Artifact
from shared.parquet.writer import RowGroupWriter
from tests.support.crawled import a_dataset

WIDE = (16, 10 * 2**20)
"""Rows, and the bytes of each: a batch of them takes 160 MiB."""
NARROW = (200_000, 10)
ALLOWED_MIB = {WIDE: 640, NARROW: 192}
"""Of wide rows there are a row group decoded, and a piece of it once more in what is made of it; on a busy machine the
allocators hold a fifth more.
"""

DATASET = a_dataset([{"name": "id", "type": "int64"}, {"name": "v", "type": "string"}], key=["id"])


def written(file: Path, rows: int, row_bytes: int, dataset: Dataset = DATASET) -> Artifact:
    """A clean file as the processor writes it."""
    writer = RowGroupWriter(file, clean_schema(dataset), ROW_GROUPS, lambda _: {"compression": "none"})
    for piece in _pieces(rows, row_bytes, clean_schema(dataset)):
        writer.append(piece)
    writer.finish()
    return Artifact(
        uri="file:///clean", format="parquet", rows=rows, bytes=file.stat().st_size, sha256="0" * 64
    )


def _pieces(rows: int, row_bytes: int, schema: pa.Schema) -> Iterator[pa.Table]:
    step = max(1, min(10_000, 2**20 // row_bytes))
    for first in range(0, rows, step):
        count = min(step, rows - first)
        columns: dict[str, Any] = {
            "id": pa.array(range(first, first + count), pa.int64()),
            "v": [f"{number:010}".ljust(row_bytes, "x") for number in range(first, first + count)],
            "_run_id": ["r"] * count,
            "_batch_id": ["0" * 32] * count,
            "_requested_at": pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * count, pa.timestamp("us", "UTC")),
            "_source_position": pa.array(range(first, first + count), pa.int64()),
        }
        yield pa.table(columns, schema=schema)


def peak_mib() -> int:
    """Of this program alone: the peak that `getrusage` tells begins with that of the process it was started by."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split(maxsplit=1)[0]) // 1024


def grown_mib(code: str, folder: Path, shape: tuple[int, int]) -> int:
    """What `code` adds to the memory of its process, with `file`, `artifact` and `folder` at hand."""
    file = folder / "clean.parquet"
    artifact = written(file, *shape)
    program = f"""
import sys
from pathlib import Path
from shared.events.models import Artifact
from tests.support.wide_rows import DATASET, peak_mib
file, folder = Path(sys.argv[1]), Path(sys.argv[2])
artifact = Artifact.model_validate_json(sys.argv[3])
{code}
before = peak_mib()
work()
print(peak_mib() - before)
"""
    command = [sys.executable, "-c", program, str(file), str(folder), artifact.model_dump_json()]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(json.loads(done.stdout))
