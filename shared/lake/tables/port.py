"""What the sink and compactions need of a table format."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class TableFile:
    """A Parquet file of the lake, durable and whole."""

    uri: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class TableState:
    version: str
    """The version of Delta, the snapshot of Iceberg."""
    files: frozenset[str]
    """The URIs of the files that count."""


class LakeTable(Protocol):
    """A table that names files of the lake, and writes none of them. Calls block: use them in a thread.

    Each is one commit, or none where the table has it already. `name` is that of an object or a compaction, and the
    commit's marker. Raises `TableUnavailableError` in an outage, and where another process has committed meanwhile.
    """

    def prepare(self, schema: pa.Schema) -> None:
        """Makes the table, or adds the columns that it lacks. Raises `TableRefusedError` where a column's type differs."""

    def append(self, name: str, files: Sequence[TableFile], at: datetime, *, fresh_until_s: float) -> None:
        """Adds the files of an object, durable since `at`. Iceberg reads the footer of each file.

        `fresh_until_s`: by `time.monotonic()`, until when the marker of another call for the object would be among the
        newest. Later the files are looked for, too: of Iceberg by every manifest.
        """

    def replace(
        self, name: str, sources: Collection[str], file: TableFile, at: datetime, *, is_reduced: bool
    ) -> None:
        """Puts the file in the place of the sources. `is_reduced`: rows were left out.

        Raises `TableRefusedError`, and changes nothing, unless the table has all of them.
        """

    def state(self) -> TableState | None:
        """None: the table is not there. Reads the whole log, or every manifest."""


def without_needs(schema: pa.Schema) -> pa.Schema:
    """The schema with every column nullable: a later version of a dataset may need others than an earlier one."""
    return pa.schema([field.with_nullable(True) for field in schema])
