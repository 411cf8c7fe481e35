"""What a transform costs: one batch through the processor's engine, with a statement and without. CPU time counts."""

import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import zstandard

from deploy.bench.alone import arguments, measure_alone
from services.processor.domain.parse_schema import parse_schema_of
from services.processor.engine import RAW_FORMAT, clean_raw
from shared.datasets.model import Dataset
from shared.events.models import BatchManifest, Counts
from shared.transforms.apply import Transformer
from shared.version import CODE_VERSION

SQL = """
SELECT * REPLACE (
    id + 1 AS id, lower(email) AS email, n * 1.19 AS n, NOT is_new AS is_new, date_trunc('day', placed_at) AS placed_at
) FROM batch
"""

DATASET: dict[str, Any] = {
    "name": "bench",
    "source": {
        "name": "bench",
        "kind": "api",
        "base_url": "http://bench",
        "path": "/bench",
        "pagination": {"kind": "none"},
    },
    "table": "bench",
    "key": ["id"],
    "columns": [
        {"name": "id", "type": "int64"},
        {"name": "email", "type": "string"},
        {"name": "body", "type": "string"},
        {"name": "n", "type": "float64"},
        {"name": "placed_at", "type": "timestamp"},
        {"name": "is_new", "type": "boolean"},
    ],
}


def measure(rows: int, repeat: int) -> dict[str, Any]:
    """As `compare`, in a process of its own."""
    found: dict[str, Any] = measure_alone("deploy.bench.transform", rows, repeat)
    return found


def compare(rows: int, repeat: int) -> dict[str, Any]:
    """The least of each, the two by turns: what else the machine does costs both."""
    raw = b"".join(_line(number) for number in range(rows))
    packed = zstandard.compress(raw)
    plain = Dataset.model_validate(DATASET)
    transformed = Dataset.model_validate({**DATASET, "transform": [{"sql": SQL}]})
    transformer = Transformer()
    least = {plain: float("inf"), transformed: float("inf")}
    with transformer.sandbox:
        for _ in range(repeat + 1):  # the first opens what the others find open
            for dataset in (plain, transformed):
                took = _process(dataset, packed, rows, transformer)
                least[dataset] = min(least[dataset], took)
    return {
        "rows": rows,
        "row_bytes": len(raw) // rows,
        "plain_s": round(least[plain], 3),
        "transformed_s": round(least[transformed], 3),
        "cost": round(least[transformed] / least[plain] - 1, 3),
    }


def _line(number: int) -> bytes:
    record = {
        "id": number,
        "email": f"User{number}@Example{number % 97}.org",
        "body": f"a text that stays as it is {number} " * 10,
        "n": number / 7,
        "placed_at": "2026-01-31T10:20:30Z",
        "is_new": number % 2 == 0,
    }
    return json.dumps(record).encode() + b"\n"


def _process(dataset: Dataset, packed: bytes, rows: int, transformer: Transformer) -> float:
    now = datetime.now(UTC)
    batch = BatchManifest(
        run_id="bench",
        dataset="bench",
        batch_id="0" * 32,
        sequence=0,
        stage="crawler",
        requested_at=now,
        counts=Counts(read=rows),
        produced_at=now,
        code_version=CODE_VERSION,
    )
    with tempfile.TemporaryDirectory(prefix="onpoint-") as name:
        folder = Path(name)
        (folder / RAW_FORMAT).write_bytes(packed)
        began = _cpu_s()
        clean_raw(folder, batch, rows, dataset, parse_schema_of(dataset), transformer)
        return _cpu_s() - began


def _cpu_s() -> float:
    """Of this process, of those that it started, and of those that they did."""
    own = psutil.Process()
    times = [own.cpu_times(), *(child.cpu_times() for child in own.children())]
    return sum(t.user + t.system for t in times) + sum(t.children_user + t.children_system for t in times[1:])


if __name__ == "__main__":
    sys.stdout.write(json.dumps(compare(*arguments())))
