"""The columns with the origin of a row: in every clean file, every lake file and every table."""

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class LineageColumn:
    """One of them. None is ever null."""

    name: str
    sql_type: Literal["text", "timestamptz", "bigint"]
    of_batch: bool
    """True: one value for all rows of a batch."""


LINEAGE: Final = (
    LineageColumn("_run_id", "text", of_batch=True),
    LineageColumn("_batch_id", "text", of_batch=True),
    LineageColumn("_requested_at", "timestamptz", of_batch=True),
    LineageColumn("_source_position", "bigint", of_batch=False),
)
"""In the order of files and tables. Of two rows with one key the larger `(_requested_at, _run_id, _source_position)`
stays."""

LOADED_AT: Final = LineageColumn("etl_processed_at", "timestamptz", of_batch=True)
"""In tables only, behind the others: when the row was loaded."""

LINEAGE_NAMES: Final = tuple(column.name for column in LINEAGE)
TABLE_LINEAGE: Final = (*LINEAGE, LOADED_AT)
RESERVED_COLUMNS: Final = frozenset(column.name for column in TABLE_LINEAGE)
"""No column of a dataset may have such a name."""
