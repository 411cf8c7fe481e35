from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from services.s3sink.cdc.columns import Column

UNCHANGED: Final = "_unchanged"
"""The last column: names of values that a change left as they were and PostgreSQL did not log. Null: none."""
LAST_MS: Final = 253_402_300_799_999
"""The end of the year 9999: no change is later."""

LAST_OF_LOAD: Final = "last_in_data_collection"
LAST_OF_LOADS: Final = "last"
"""Debezium's marks of the last row of a full load: of a table, and of the last one of several tables."""


@dataclass(frozen=True, slots=True)
class Rows:
    table: pa.Table
    columns: tuple[Column, ...]
    """Those of the table, the ones that only records name among them."""
    skipped: int
    """Changes that change nothing, or only where a row came from."""
    loaded: int
    """Rows of a full load, behind the last mark."""
    begins_load: bool
    """Whether there is a mark, as of a TRUNCATE: rows before it count no more."""
    ends_load: bool
    """Whether the last row of a full load is among them."""


def named(result: Mapping[str, Any] | pa.Table, columns: Sequence[Column]) -> pa.Table:
    """With the names of the lake. An instant is UTC. The values of the columns are c0, c1, …"""
    instant = pa.timestamp("ms", "UTC")
    arrays: dict[str, Any] = {
        "Op": result["op"],
        "cdc_timestamp": result["at"].cast(instant),
        "_lsn": result["lsn"],
        "_tx": result["tx"],
        "_offset": result["_offset"],
    }
    for place, column in enumerate(columns):
        values = result[f"c{place}"]
        arrays[column.name] = values.cast(instant) if column.is_instant else values
    arrays[UNCHANGED] = result["unchanged"]
    return pa.table(arrays)
