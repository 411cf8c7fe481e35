"""Which rows of a dataset have a newer one of their key, over all files. Keys are on disk; memory is bounded."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shared.errors import PermanentError, TransientError
from shared.lake.errors import unusable
from shared.lake.rewrite import SourceFile
from shared.reasons import Reason

MEMORY = "256MB"
"""Of the look for the newest; what is more goes to the disk."""

THREADS = 2

READ_ROWS = 65_536
"""Keys decoded at a time."""

ORDER = ("_requested_at", "_run_id", "_source_position")
"""Of two rows with one key the larger of these stays, as in the table (`shared/datasets/lineage.py`)."""

_SUPERSEDED = """
CREATE TABLE superseded AS
WITH runs AS (
    SELECT _requested_at, _run_id, row_number() OVER (ORDER BY _requested_at, _run_id) AS number
    FROM (SELECT DISTINCT _requested_at, _run_id FROM keys)
), placed AS (
    SELECT file, row, {key}, runs.number::HUGEINT * 9223372036854775808 + _source_position AS place
    FROM keys JOIN runs USING (_requested_at, _run_id)
), newest AS (
    SELECT {key}, max(place) AS newest FROM placed GROUP BY ALL
)
SELECT file, row FROM placed JOIN newest USING ({key}) WHERE place < newest
"""


class Choice:
    """The rows of some files that stay; counts them by run as they are asked for."""

    def __init__(self, superseded: Sequence["np.ndarray[Any, Any]"]) -> None:
        self._superseded = superseded
        self.runs = Counter[str]()

    def __call__(self, place: int, piece: pa.RecordBatch, first: int) -> pa.RecordBatch:
        """Of a piece of the file at the place, whose first row is the file's `first`."""
        gone = self._superseded[place]
        start, stop = np.searchsorted(gone, [first, first + piece.num_rows])
        if start < stop:
            stays = np.ones(piece.num_rows, dtype=bool)
            stays[gone[start:stop] - first] = False
            piece = piece.filter(pa.array(stays))
        counted: Any = pc.value_counts(piece.column("_run_id"))
        for entry in counted.to_pylist():
            self.runs[entry["values"]] += entry["counts"]
        return piece


class LatestRows:
    """`add` each file, `settle`, then `choice`. A context manager."""

    def __init__(self, folder: Path, key: Sequence[str]) -> None:
        self._key = tuple(key)
        self._names: list[str] = []
        self._types: dict[str, pa.DataType] | None = None
        self._has_rows = False
        self._database = duckdb.connect(
            folder / "keys.duckdb",
            config={"memory_limit": MEMORY, "threads": THREADS, "temp_directory": str(folder / "spill")},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def add(self, name: str, source: SourceFile) -> None:
        """The keys of a file. Raises `PermanentError` where it has none, or of another type than the files before."""
        columns = [*self._key, *ORDER]
        try:
            with pq.ParquetFile(source.path) as parquet:
                schema = parquet.schema_arrow
                if missing := [column for column in columns if column not in schema.names]:
                    raise unusable(source.uri, ValueError(f"it has no column {', '.join(missing)}"))
                self._check_types(source, {column: schema.field(column).type for column in self._key})
                number, first = len(self._names), 0
                for piece in parquet.iter_batches(READ_ROWS, columns=columns):
                    self._insert(number, first, piece.select(columns))
                    first += piece.num_rows
        except (pa.ArrowInvalid, OSError) as error:
            raise unusable(source.uri, error) from error
        except duckdb.Error as error:
            raise _translated(error) from error
        self._names.append(name)

    def settle(self) -> list[str]:
        """The names of the files with superseded rows."""
        if not self._has_rows:
            self._database.execute("CREATE TABLE superseded (file BIGINT, row BIGINT)")
            return []
        key = ", ".join(f"k{place}" for place in range(len(self._key)))
        try:
            self._database.execute(_SUPERSEDED.format(key=key))
            found = self._database.execute("SELECT DISTINCT file FROM superseded ORDER BY file").fetchall()
        except duckdb.Error as error:
            raise _translated(error) from error
        return [self._names[number] for (number,) in found]

    def choice(self, names: Sequence[str]) -> Choice:
        """What stays of these files. Memory is a number for each row that goes."""
        numbers = {name: number for number, name in enumerate(self._names)}
        query = "SELECT row FROM superseded WHERE file = ? ORDER BY row"
        found = [self._database.execute(query, [numbers[name]]).fetchnumpy()["row"] for name in names]
        return Choice([np.asarray(rows) for rows in found])

    def _check_types(self, source: SourceFile, types: dict[str, pa.DataType]) -> None:
        if self._types is None:
            self._types = types
        for column, kind in types.items():
            if kind != self._types[column]:
                message = f"{source.uri}: the key {column} is {kind}, in other files {self._types[column]}"
                raise PermanentError(Reason.SCHEMA, message)

    def _insert(self, number: int, first: int, piece: pa.RecordBatch) -> None:
        """The key's columns are `k0` and so on, so that no name of a dataset is part of a statement."""
        names = [*(f"k{place}" for place in range(len(self._key))), *ORDER]
        numbers: pa.Array[Any] = pa.array(np.arange(first, first + piece.num_rows))
        rows = pa.table([*piece.columns, numbers], [*names, "row"])
        self._database.register("piece", rows)
        if self._has_rows:
            self._database.execute("INSERT INTO keys SELECT ?, * FROM piece", [number])
        else:
            self._database.execute("CREATE TABLE keys AS SELECT ?::BIGINT AS file, * FROM piece", [number])
        self._database.unregister("piece")
        self._has_rows = True


def _translated(error: duckdb.Error) -> Exception:
    return TransientError(f"the scratch folder, or memory, is full: {error}"[:500])
