"""I1: the lake and PostgreSQL, row by row, against what must have arrived."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from console.verify.database import Books, Run, explained
from console.verify.expected import LINEAGE, Expected, digest
from console.verify.findings import Findings
from console.verify.source import DTYPES
from shared.datasets.model import Dataset
from shared.postgres.identifiers import quote

CHUNK = 50_000
SPELT_OUT = 50
"""So many wrong rows of a dataset are compared value for value; the others are named."""

_LINEAGE_TYPES: dict[Any, Any] = {
    "_run_id": pl.String(),
    "_batch_id": pl.String(),
    "_requested_at": pl.Datetime("us", "UTC"),
    "_source_position": pl.Int64(),
}


@dataclass(slots=True)
class Content:
    """Of one dataset. The lake is looked at first: where there is no source, PostgreSQL is held against the lake."""

    expected: Expected
    books: Books
    findings: Findings
    numbers: dict[str, int] = field(init=False)
    """Of the runs, in the order of their requests."""
    _of_lake: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    _spelt: int = 0

    def __post_init__(self) -> None:
        runs = sorted(self.books.runs.values(), key=lambda run: run.order)
        self.numbers = {run.run_id: number for number, run in enumerate(runs)}

    @property
    def dataset(self) -> Dataset:
        return self.expected.dataset

    async def look_at_object(self, run: Run, uri: str, file: Path) -> None:
        """Compares an object that the run's listing names."""
        await asyncio.to_thread(self._look_at_object, run, uri, file)

    def end_of_lake(self, run: Run) -> None:
        """Every object of the run was looked at: what is missing, what is there twice?"""
        pieces = self._of_lake.pop(run.run_id, [])
        empty = self.expected.index.clear()
        if self.expected.source is None:
            self.expected.index = (
                pl.concat([*([self.expected.index] if len(self.expected.index) else []), *pieces])
                if pieces
                else empty
            )
            return
        found = (
            pl.concat([piece.select("_source_position", "_batch") for piece in pieces]) if pieces else None
        )
        wanted = self._stored_by(run)
        if found is None:
            self._missing(wanted, run, "the lake")
            return
        self._missing(wanted.join(found, on="_source_position", how="anti"), run, "the lake")
        twice = found.group_by("_source_position").len().filter(pl.col("len") > 1)
        for row in twice.join(wanted, on="_source_position", how="left").iter_rows(named=True):
            self.findings.add("I1", self._subject(row, run.run_id), f"it is in the lake {row['len']} times")

    async def look_at_table(self, connection: asyncpg.Connection) -> None:
        """Compares the whole table. Memory is a chunk of rows and the keys."""
        columns = [*(column.name for column in self.dataset.columns), *LINEAGE]
        wanted = self._newest()
        names = ", ".join(quote(name) for name in columns)
        seen: list[pl.DataFrame] = []
        with explained():
            async with connection.transaction(readonly=True):
                chunk: list[asyncpg.Record] = []
                query = f"SELECT {names} FROM public.{quote(self.dataset.table)}"  # noqa: S608 - quoted names
                async for row in connection.cursor(query, prefetch=CHUNK // 5):
                    chunk.append(row)
                    if len(chunk) == CHUNK:
                        seen.append(await asyncio.to_thread(self._look_at_rows, columns, chunk, wanted))
                        chunk = []
                seen.append(await asyncio.to_thread(self._look_at_rows, columns, chunk, wanted))
        keys = pl.concat(seen)
        for lost in wanted.join(keys, on=self.dataset.key, how="anti").iter_rows(named=True):
            self.findings.add("I1", self._subject(lost), "it is not in PostgreSQL")
        twice = keys.group_by(self.dataset.key).len().filter(pl.col("len") > 1)
        for double in twice.iter_rows(named=True):
            self.findings.add("I1", self._subject(double), f"it is in PostgreSQL {double['len']} times")

    def _look_at_object(self, run: Run, uri: str, file: Path) -> None:
        wanted = self._stored_by(run)
        try:
            parquet = pq.ParquetFile(file)
        except (pa.ArrowInvalid, OSError) as error:
            self.findings.add("I1", uri, f"it cannot be read: {error}"[:300])
            return
        with parquet:
            expected = [*(column.name for column in self.dataset.columns), *LINEAGE]
            if parquet.schema_arrow.names != expected:
                self.findings.add("I1", uri, f"its columns are {parquet.schema_arrow.names}, not {expected}")
                return
            try:
                for piece in parquet.iter_batches(CHUNK):
                    self._look_at_piece(run, uri, _frame(piece, self.dataset), wanted)
            except (pa.ArrowInvalid, OSError) as error:
                self.findings.add("I1", uri, f"it cannot be read: {error}"[:300])

    def _look_at_piece(self, run: Run, uri: str, frame: pl.DataFrame, wanted: pl.DataFrame) -> None:
        frame = frame.with_columns(digest(frame, self.dataset))
        self.findings.count("I1", len(frame))
        if self.expected.source is None:
            self._of_lake.setdefault(run.run_id, []).append(self._as_index(frame, run))
            return
        joined = frame.join(
            wanted.select("_source_position", "_batch", pl.col("_row").alias("_wanted")),
            on="_source_position", how="left",
        )  # fmt: skip
        self._of_lake.setdefault(run.run_id, []).append(joined.select("_source_position", "_batch"))
        for row in joined.filter(pl.col("_wanted").is_null()).iter_rows(named=True):
            self.findings.add(
                "I1", self._subject(row), f"it is in {uri}, and is no accepted record of the run"
            )
        for row in joined.filter(pl.col("_row") != pl.col("_wanted")).iter_rows(named=True):
            self._differs(row, row["_batch"], uri)

    def _look_at_rows(
        self, columns: Sequence[str], rows: Sequence[asyncpg.Record], wanted: pl.DataFrame
    ) -> pl.DataFrame:
        """The keys of the rows."""
        frame = _from_rows(self.dataset, columns, rows)
        frame = frame.with_columns(digest(frame, self.dataset))
        self.findings.count("I1", len(frame))
        keys = list(self.dataset.key)
        joined = frame.join(
            wanted.select(*keys, "_run", "_batch", pl.col("_row").alias("_wanted"), pl.col("_source_position").alias("_at")),
            on=keys, how="left",
        )  # fmt: skip
        odd = joined.filter(pl.col("_wanted").is_null() | (pl.col("_row") != pl.col("_wanted")))
        for row in odd.iter_rows(named=True):
            self._odd_row(row)
        return frame.select(keys)

    def _odd_row(self, row: dict[str, Any]) -> None:
        run_id = row["_run_id"]
        if run_id in self.books.others and (
            row["_wanted"] is None or (row["_requested_at"], run_id) > self._run(row["_run"]).order
        ):
            return  # a run that nobody asked about has it
        if row["_wanted"] is None:
            if self.expected.source is not None or not self._undelivered(run_id):
                self.findings.add(
                    "I1", self._subject(row), f"it is in PostgreSQL (from {run_id}), and nothing brought it"
                )
        else:
            self._differs({**row, "_expected_position": row["_at"]}, row["_batch"], "PostgreSQL")

    def _undelivered(self, run_id: str) -> bool:
        """Whether the lake lacks batches of the run, so that it cannot speak for PostgreSQL."""
        return any(
            batch.run.run_id == run_id and "s3sink" not in batch.stages
            for batch in self.expected.batches.values()
        )

    def _differs(self, row: dict[str, Any], batch: int, where: str) -> None:
        self._spelt += 1
        at = row.get("_expected_position", row["_source_position"])
        wanted = self.expected.row(batch, at) if self._spelt <= SPELT_OUT else None
        if wanted is None:
            self.findings.add("I1", self._subject(row), f"it is not the same in {where}")
            return
        wrong = [
            f"{name} is {_short(row[name])}, not {_short(value)}"
            for name, value in wanted.items()
            if row[name] != value
        ]
        self.findings.add("I1", self._subject(row), f"in {where} {'; '.join(wrong) or 'its bytes differ'}")

    def _stored_by(self, run: Run) -> pl.DataFrame:
        return (
            self._arrived("s3sink").filter(pl.col("_run") == self.numbers[run.run_id])
            if len(self.expected.index)
            else self._nothing()
        )

    def _newest(self) -> pl.DataFrame:
        if not len(self.expected.index):
            return self._nothing()
        order = ["_run", "_source_position"]
        return self._arrived("loader").sort(order).unique(self.dataset.key, keep="last", maintain_order=True)

    def _arrived(self, stage: str) -> pl.DataFrame:
        batches = [b.number for b in self.expected.batches.values() if stage in b.stages]
        wanted = pl.Series(batches, dtype=pl.UInt32)
        return self.expected.index.filter(pl.col("_batch").is_in(wanted.implode()))

    def _nothing(self) -> pl.DataFrame:
        types = {column.name: DTYPES[column.type] for column in self.dataset.columns}
        return pl.DataFrame(
            schema={
                **{name: types[name] for name in self.dataset.key},
                "_run": pl.UInt32(),
                "_batch": pl.UInt32(),
                "_source_position": pl.Int64(),
                "_row": pl.UInt64(),
            }
        )

    def _as_index(self, frame: pl.DataFrame, run: Run) -> pl.DataFrame:
        numbers = {batch_id: batch.number for batch_id, batch in self.expected.batches.items()}
        return frame.select(
            *self.dataset.key,
            pl.lit(self.numbers[run.run_id], pl.UInt32).alias("_run"),
            pl.col("_batch_id").replace_strict(numbers, default=None, return_dtype=pl.UInt32).alias("_batch"),
            "_source_position",
            "_row",
        )

    def _missing(self, rows: pl.DataFrame, run: Run, where: str) -> None:
        for row in rows.iter_rows(named=True):
            self.findings.add("I1", self._subject(row, run.run_id), f"it is not in {where}")

    def _run(self, number: int) -> Run:
        return next(run for run in self.books.runs.values() if self.numbers[run.run_id] == number)

    def _subject(self, row: dict[str, Any], run_id: str | None = None) -> str:
        key = ", ".join(f"{name}={_short(row[name])}" for name in self.dataset.key if name in row)
        run = run_id or row.get("_run_id")
        if run is None and row.get("_run") is not None:
            run = self._run(row["_run"]).run_id
        at = row.get("_source_position")
        place = "" if run is None else f" (record {at} of {run})"
        return f"{self.dataset.name} {key}{place}"


def _frame(piece: pa.RecordBatch, dataset: Dataset) -> pl.DataFrame:
    frame = pl.from_arrow(piece)
    if not isinstance(frame, pl.DataFrame):
        raise TypeError("a table is expected")
    types: dict[Any, Any] = {column.name: DTYPES[column.type] for column in dataset.columns}
    return frame.cast(types | _LINEAGE_TYPES, strict=False)


def _from_rows(dataset: Dataset, columns: Sequence[str], rows: Sequence[asyncpg.Record]) -> pl.DataFrame:
    types = {column.name: DTYPES[column.type] for column in dataset.columns} | _LINEAGE_TYPES
    values: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else [()] * len(columns)
    return pl.DataFrame(
        [pl.Series(name, column, types[name]) for name, column in zip(columns, values, strict=True)]
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"  # noqa: PLR2004 - a line of a table
