"""Where the CPU time of a change goes, stage by stage, in memory: in the sink, and in a consumer of one record at a time."""

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from deploy.bench import row_at_a_time
from services.s3sink.cdc.columns import Column
from services.s3sink.cdc.decode import Decoder
from services.s3sink.cdc.open_object import OpenObject
from shared.bus.batches import MAX_RECORDS, RecordBatch

COLUMNS = (
    Column("id", "bigint", in_key=True),
    Column("user_id", "bigint"),
    *(Column(name, "text") for name in ("title", "body", "_run_id")),
    Column("changed", "timestamp with time zone"),
)
TARGET_BYTES = 64 * 2**20


def measure(values: Sequence[bytes]) -> dict[str, dict[str, float]]:
    """CPU seconds of all the values, by stage, of the sink (`sink`) and of the other (`row`)."""
    decoder = Decoder()
    batches = [
        RecordBatch("cdc.public.bench", 0, range(first, first + len(part)), [0] * len(part), part)
        for first in range(0, len(values), MAX_RECORDS)
        if (part := values[first : first + MAX_RECORDS])
    ]
    tables: list[pa.Table] = []
    taken: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="onpoint-bench-cdc-") as folder:
        return {
            "json_to_rows": {
                "sink": _cpu(lambda: tables.extend(decoder.decode(each, COLUMNS).table for each in batches)),
                "row": _cpu(lambda: taken.extend(_rows(values))),
            },
            "rows_to_parquet": {
                "sink": _cpu(lambda: _write(tables, Path(folder))),
                "row": _cpu(lambda: _write_each(taken, Path(folder) / "rows.parquet")),
            },
        }


def _rows(values: Sequence[bytes]) -> list[dict[str, object]]:
    found = (row_at_a_time.row_of(at, json.loads(value)) for at, value in enumerate(values))
    return [row for row in found if row is not None]


def _write(tables: Sequence[pa.Table], folder: Path) -> None:
    target = OpenObject(tables[0].schema, 0, TARGET_BYTES, folder)
    for table in tables:
        target.append(table)
    target.finish()


def _write_each(rows: Sequence[dict[str, object]], file: Path) -> None:
    with row_at_a_time.RowWriter(file) as writer:
        for row in rows:
            writer.write(row)


def _cpu(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before
