"""The consumer that change capture is measured against: one record after the other becomes a row, as Connect's sinks do.

It stores what the sink stores: the same columns and types, the same compression, row groups of the same size.
"""

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from aiokafka import AIOKafkaConsumer

from shared.bus.kafka import KafkaClients
from shared.storage.object_store import ObjectStore

ROW_GROUP_ROWS = 100_000
OPERATIONS = {"c": "I", "r": "I", "u": "U", "d": "D", "t": "T"}
INSTANT: pa.DataType = pa.timestamp("ms", "UTC")
TYPES: dict[str, pa.DataType] = {
    "Op": pa.string(),
    "cdc_timestamp": INSTANT,
    **dict.fromkeys(("_lsn", "_tx", "_offset", "id", "user_id"), pa.int64()),
    **dict.fromkeys(("title", "body", "_run_id"), pa.string()),
    "changed": INSTANT,
    "_unchanged": pa.list_(pa.string()),
}
SCHEMA = pa.schema(TYPES)

Loads = Callable[[bytes], Any]


async def store(clients: KafkaClients, lake: ObjectStore, name: str, rows: int, loads: Loads) -> None:
    """Reads that number of records of the table's topic into one object. Memory is a row group."""
    consumer = clients.consumer_of(
        partial(AIOKafkaConsumer, f"cdc.public.{name}"), auto_offset_reset="earliest"
    )
    await consumer.start()
    with tempfile.TemporaryDirectory() as folder:
        file, taken = Path(folder) / "object.parquet", list[dict[str, Any]]()
        with pq.ParquetWriter(
            file,
            SCHEMA,
            version="2.6",
            data_page_version="2.0",
            compression="gzip",
            compression_level=1,
            coerce_timestamps="ms",
            write_page_index=True,
        ) as writer:
            try:
                for _ in range(rows):
                    record = await consumer.getone()
                    if (row := _row(record.offset, loads(record.value))) is not None:
                        taken.append(row)
                    if len(taken) == ROW_GROUP_ROWS:
                        writer.write_table(pa.Table.from_pylist(taken, SCHEMA))
                        taken.clear()
            finally:
                await consumer.stop()
            writer.write_table(pa.Table.from_pylist(taken, SCHEMA))
        await lake.put(f"bench/{name}-{loads.__module__}.parquet", file)


def _row(offset: int, change: dict[str, Any]) -> dict[str, Any] | None:
    """None where nothing but lineage changed."""
    old, source = change["before"], change["source"]
    row = change["after"] or old
    if change["op"] == "u" and old and _content(old) == _content(row):
        return None
    return {
        "Op": OPERATIONS[change["op"]],
        "cdc_timestamp": datetime.fromtimestamp(source["ts_ms"] / 1000, UTC),
        "_lsn": source["lsn"],
        "_tx": source["txId"],
        "_offset": offset,
        **row,
        "changed": datetime.fromisoformat(row["changed"]),
    }


def _content(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "_run_id"}
