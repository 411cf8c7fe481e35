"""I1: the lake, row by row, against what must have arrived; where no other evidence is left, the lake is the evidence."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from console.verify.database import Run
from console.verify.expected import Batch, Expected
from console.verify.findings import Findings
from console.verify.forms import LINEAGE, Form, digest
from console.verify.refusals import rows_of_source
from console.verify.stored import compared
from shared.datasets.model import Dataset

CHUNK = 50_000
SPELT_OUT = 50
"""Wrong rows of a table that are compared value for value; the others are named."""

SWEPT = "the dataset's file of that time and the staged rows are gone, so the lake is compared with PostgreSQL alone"

REDUCED = "a compaction kept the latest rows, and those of other runs are not looked at, so not all rows are compared"


@dataclass(slots=True)
class Content:
    """Of one table. First staging is read, then the lake, then the table."""

    expected: Expected
    today: Mapping[str, Dataset]
    findings: Findings
    latest: set[tuple[str, str]] = field(default_factory=set)
    """Runs and datasets of which superseded rows were left out of the lake."""
    has_every_run: bool = True
    """Whether a row that supersedes another can only be among those that are looked at."""
    _found: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    """Positions and batches in the lake, by run."""
    _of_lake: list[pl.DataFrame] = field(default_factory=list)
    """Rows of batches for which the lake is the only evidence."""
    _spelt: int = 0

    async def look_at_clean(self, batches: list[Batch], file: Path) -> None:
        """The staged Parquet of batches: evidence of their columns, and of their rows where there is no source."""
        await asyncio.to_thread(self._look_at_clean, batches, file)

    async def settle(self) -> None:
        """Call it when all of staging is read: adds the rows for which the sources are the only evidence."""
        for batch in self.expected.batches.values():
            if batch.has_rows or batch.source is None:
                continue
            if batch.form.is_certain:
                await asyncio.to_thread(self._tell_by_source, batch)
            else:
                self.findings.note(SWEPT, batch.processed.name)
        self.expected.close()

    async def look_at_object(self, run: Run, dataset: str, uri: str, file: Path) -> None:
        """Compares an object that the run's listing names."""
        await asyncio.to_thread(self._look_at_object, run, dataset, uri, file)

    async def look_at_shared(self, runs: Sequence[Run], dataset: str, uri: str, file: Path) -> None:
        """As `look_at_object`, where the object has rows of several runs, and all their listings name it."""
        await asyncio.to_thread(self._look_at_shared, runs, dataset, uri, file)

    def end_of_lake(self) -> None:
        """Every object was looked at: what is missing, what is there twice?"""
        stored: dict[str, list[Batch]] = {}
        for batch in self.expected.batches.values():
            if "s3sink" in batch.stages:
                stored.setdefault(batch.run.run_id, []).append(batch)
        newest = self._newest_in_lake() if self.latest else None
        for run_id, batches in stored.items():
            is_reduced = any((run_id, b.processed.dataset) in self.latest for b in batches)
            self._end_of_run(run_id, batches, newest if is_reduced else None)
        self.expected.pieces += self._of_lake
        self._of_lake = []
        self.expected.close()

    def _look_at_clean(self, batches: list[Batch], file: Path) -> None:
        try:
            parquet = pq.ParquetFile(file)
        except (pa.ArrowInvalid, OSError):
            return  # a damaged file is a violation of its own
        with parquet:
            for batch in batches:
                if not batch.form.is_certain:
                    self._see(batch, parquet)
                if batch.source is not None:
                    self._tell_by_source(batch)
                else:
                    self._tell_by_clean(batch, parquet)

    def _tell_by_source(self, batch: Batch) -> None:
        if batch.source is None or not self.expected.forms.can_hold(batch.form, self.expected.key):
            return
        batch.has_rows = True  # also where a violation ends it early
        for rows in rows_of_source(batch, batch.source, self.expected.transformer, self.findings):
            self.expected.add_rows(batch, rows)

    def _tell_by_clean(self, batch: Batch, parquet: pq.ParquetFile) -> None:
        if not self.expected.forms.can_hold(batch.form, self.expected.key):
            return
        batch.has_rows = True
        rows = 0
        try:
            for piece in parquet.iter_batches(CHUNK):
                frame = _shaped(pl.DataFrame(piece), batch.form)
                rows += len(frame)
                self.expected.add_rows(batch, frame)
        except (pa.ArrowInvalid, OSError):
            return
        self.findings.require(
            "I1",
            rows == batch.processed["accepted"],
            batch.processed.name,
            f"{batch.processed['accepted']} rows were accepted, {rows} are staged",
        )

    def _look_at_object(self, run: Run, dataset: str, uri: str, file: Path) -> None:
        _, batches, wanted = self._view(run, dataset)
        with self._readable(uri):
            parquet = pq.ParquetFile(file)
            with parquet:
                for batch in batches.values():
                    if not batch.form.is_certain:
                        self._see(batch, parquet)
                if not self._has_columns(uri, parquet, self._forms_of(parquet, list(batches.values()))):
                    return
                for piece in parquet.iter_batches(CHUNK):
                    self._look_at_piece(run, uri, pl.DataFrame(piece), batches, wanted)

    def _forms_of(self, parquet: pq.ParquetFile, batches: list[Batch]) -> list[Form]:
        """By which the object was written: with the columns of the newest version of the batches that are in it."""
        if all(batch.read_by is batch.form.dataset for batch in batches):
            return list({batch.form.compared: batch.form for batch in batches}.values())
        there = set(pl.DataFrame(parquet.read(["_batch_id"]))["_batch_id"].unique())
        inside = [batch for batch in batches if batch.processed.batch_id in there]
        newest = max(inside, key=lambda batch: batch.version, default=None)
        if newest is None:
            return []
        names = tuple(column.name for column in newest.read_by.columns)
        return [Form(newest.read_by, names, is_certain=True)]

    def _look_at_shared(self, runs: Sequence[Run], dataset: str, uri: str, file: Path) -> None:
        views = {run.run_id: self._view(run, dataset) for run in runs}
        with self._readable(uri), pq.ParquetFile(file) as parquet:
            for _, batches, _ in views.values():
                for batch in batches.values():
                    if not batch.form.is_certain:
                        self._see(batch, parquet)
            for piece in parquet.iter_batches(CHUNK):
                for run_id, rows in _by_name(pl.DataFrame(piece), "_run_id"):
                    if run_id in views:
                        run, batches, wanted = views[run_id]
                        self._look_at_part(run, uri, rows, batches, wanted)

    def _look_at_part(
        self, run: Run, uri: str, rows: pl.DataFrame, batches: Mapping[str, Batch], wanted: pl.DataFrame
    ) -> None:
        """Rows of one run: columns that it has not are those of others, and have no value here."""
        forms = {batch.form.compared: batch.form for batch in batches.values()}
        is_fixed = all(batch.read_by is batch.form.dataset for batch in batches.values())
        for form in forms.values() if is_fixed else ():
            for name, dtype in form.written_types.items():
                if name in rows.columns and rows.schema[name] != dtype:
                    self.findings.add("I1", uri, f"its column {name} is {rows.schema[name]}, not {dtype}")
                    return
        names = {name for form in forms.values() for name in form.names} | set(LINEAGE)
        files = [*self.today.values(), *(batch.read_by for batch in batches.values())]
        known = {column.name for file in files for column in file.columns}
        filled = [
            name
            for name in rows.columns
            if forms and name not in names | known and rows[name].null_count() < len(rows)
        ]
        if filled:
            self.findings.add(
                "I1", uri, f"nothing of {run.run_id} was to be in its columns {', '.join(filled)}"
            )
            return
        self._look_at_piece(run, uri, rows, batches, wanted)

    def _view(self, run: Run, dataset: str) -> tuple[Run, dict[str, Batch], pl.DataFrame]:
        """The run's batches, and the rows that they must have in the lake."""
        batches = {
            batch_id: batch
            for batch_id, batch in self.expected.batches.items()
            if (batch.run, batch.processed.dataset) == (run, dataset)
        }
        return run, batches, self._stored_by(batches)

    def _has_columns(self, uri: str, parquet: pq.ParquetFile, forms: list[Form]) -> bool:
        """Those of the dataset's file of that time; others that it gained since may be there, with no value."""
        names = parquet.schema_arrow.names
        wanted = {name for form in forms for name in form.names} | set(LINEAGE)
        if len(set(names)) < len(names) or (forms and wanted - set(names)):
            self.findings.add("I1", uri, f"its columns are {names}, not {sorted(wanted)}")
            return False
        types = dict(pl.DataFrame(parquet.schema_arrow.empty_table()).schema)
        for form in forms:
            for name, dtype in form.written_types.items():
                if types[name] != dtype:
                    self.findings.add("I1", uri, f"its column {name} is {types[name]}, not {dtype}")
                    return False
        if forms and (more := [name for name in names if name not in wanted]):
            known = {column.name for file in self.today.values() for column in file.columns}
            filled = [name for name in more if name not in known or _has_values(parquet, name)]
            if filled:
                self.findings.add(
                    "I1", uri, f"its columns are {names}, and nothing was to be in {', '.join(filled)}"
                )
                return False
        return True

    def _look_at_piece(
        self, run: Run, uri: str, frame: pl.DataFrame, batches: Mapping[str, Batch], wanted: pl.DataFrame
    ) -> None:
        self.findings.count("I1", len(frame))
        numbers = {batch_id: batch.number for batch_id, batch in batches.items()}
        frame = frame.with_columns(
            pl.col("_batch_id")
            .replace_strict(numbers, default=None, return_dtype=pl.UInt32)
            .alias("_in_batch")
        )
        untold = [b.number for b in batches.values() if not b.has_rows]
        is_untold = pl.col("_in_batch").is_in(pl.Series(untold, dtype=pl.UInt32).implode()).fill_null(False)
        self._keep_without_rows(frame.filter(is_untold))
        told = frame.filter(~is_untold).join(
            wanted.select(*self.expected.place, "_batch", pl.col("_row").alias("_wanted")),
            on=self.expected.place, how="left",
        )  # fmt: skip
        self._found.setdefault(run.run_id, []).append(told.select(*self.expected.place, "_batch"))
        for row in told.filter(pl.col("_wanted").is_null()).iter_rows(named=True):
            self.findings.add(
                "I1", self.subject(row), f"the lake has it ({uri}), and the run did not accept it"
            )
        for batch_number, rows in _by(told.filter(pl.col("_wanted").is_not_null()), "_batch"):
            batch = self.expected.batch(batch_number)
            shaped = _shaped(rows, batch.form)
            is_wrong = digest(shaped, batch.form, batch.floats) != rows["_wanted"]
            wrong = shaped.with_columns(rows["_batch"]).filter(is_wrong)
            for row in wrong.iter_rows(named=True):
                self.differs(row, batch, uri)

    def _keep_without_rows(self, frame: pl.DataFrame) -> None:
        """Keeps rows for which the lake is the only evidence."""
        for number, rows in _by(frame, "_in_batch"):
            batch = self.expected.batch(number)
            if self.expected.forms.can_hold(batch.form, self.expected.key):
                self._of_lake.append(_index(self.expected, _shaped(rows, batch.form), batch))

    def _newest_in_lake(self) -> pl.DataFrame:
        """By key: the order of the newest row that the lake has."""
        key, order = list(self.expected.key), ["_run", "_source_position"]
        pieces = [rows.select(*key, *order) for rows in self._of_lake]
        for run_id, found in self._found.items():
            batches = {
                batch_id: batch
                for batch_id, batch in self.expected.batches.items()
                if batch.run.run_id == run_id
            }
            there = pl.concat(found).select(*self.expected.place, "_batch")
            pieces.append(
                self._stored_by(batches)
                .join(there, on=[*self.expected.place, "_batch"], how="semi")
                .select(*key, *order)
            )
        if not pieces:
            return self.expected.index.select(*key, *order).clear()
        return pl.concat(pieces).sort(order).unique(key, keep="last")

    def _not_superseded(self, missing: pl.DataFrame, newest: pl.DataFrame, run_id: str) -> pl.DataFrame:
        """Of rows that are not in the lake, those that no newer row of their key is there for."""
        later = missing.join(newest, on=list(self.expected.key), how="left", suffix="_newest")
        has_newer = (pl.col("_run_newest") > pl.col("_run")) | (
            (pl.col("_run_newest") == pl.col("_run"))
            & (pl.col("_source_position_newest") > pl.col("_source_position"))
        )
        left = later.filter(~has_newer.fill_null(False)).select(missing.columns)
        if len(left) and not self.has_every_run:
            self.findings.note(REDUCED, run_id)
            return left.clear()
        return left

    def _end_of_run(self, run_id: str, batches: list[Batch], newest: pl.DataFrame | None) -> None:
        told = [batch for batch in batches if batch.has_rows]
        pieces = self._found.pop(run_id, [])
        wanted = self._stored_by({b.processed.batch_id: b for b in told})
        place = self.expected.place
        found = pl.concat(pieces) if pieces else wanted.select(*place, "_batch").clear()
        missing = wanted.join(found, on=place, how="anti")
        if newest is not None:
            missing = self._not_superseded(missing, newest, run_id)
        for row in missing.iter_rows(named=True):
            self.findings.add("I1", self.subject(row, run_id), "it is not in the lake")
        twice = found.group_by(place).len().filter(pl.col("len") > 1)
        for row in twice.join(wanted, on=place, how="left").iter_rows(named=True):
            self.findings.add("I1", self.subject(row, run_id), f"it is in the lake {row['len']} times")
        self._check_without_rows([batch for batch in batches if not batch.has_rows])

    def _check_without_rows(self, batches: list[Batch]) -> None:
        """Of rows for which the lake is the only evidence, number and positions are checked."""
        comparable = [
            batch for batch in batches if self.expected.forms.can_hold(batch.form, self.expected.key)
        ]
        numbers = pl.Series([batch.number for batch in comparable], dtype=pl.UInt32).implode()
        rows = pl.concat(self._of_lake).filter(pl.col("_batch").is_in(numbers)) if self._of_lake else None
        counts = {} if rows is None else dict(rows.group_by("_batch").len().iter_rows())
        for batch in comparable:
            there = counts.get(batch.number, 0)
            is_reduced = (batch.run.run_id, batch.processed.dataset) in self.latest
            self.findings.require(
                "I1",
                there == batch.processed["accepted"] or (is_reduced and there < batch.processed["accepted"]),
                batch.processed.name,
                f"{batch.processed['accepted']} rows were accepted, {there} are in the lake",
            )
            batch.has_rows = True
        if rows is not None:
            twice = rows.group_by("_batch", *self.expected.place).len().filter(pl.col("len") > 1)
            for row in twice.iter_rows(named=True):
                run_id = self.expected.batch(row["_batch"]).run.run_id
                self.findings.add("I1", self.subject(row, run_id), f"it is in the lake {row['len']} times")

    def differs(self, row: Mapping[str, Any], batch: Batch, where: str, at: int | None = None) -> None:
        """Adds a violation for a row, value for value for the first `SPELT_OUT` whose values are known."""
        self._spelt += 1
        position = row["_source_position"] if at is None else at
        wanted = self.expected.row(batch, position) if self._spelt <= SPELT_OUT else None
        if wanted is None:
            self.findings.add("I1", self.subject(row), f"it is not the same in {where}")
            return
        wrong = [
            f"{name} is {_short(row[name])}, not {_short(value)}"
            for name, value in wanted.items()
            if row[name] != value
        ]
        self.findings.add("I1", self.subject(row), f"in {where} {'; '.join(wrong) or 'its bytes differ'}")

    def subject(self, row: Mapping[str, Any], run_id: str | None = None) -> str:
        """The record, by its key and its place in the source."""
        run = run_id or row.get("_run_id")
        name = ""
        if (number := row.get("_batch")) is not None:
            batch = self.expected.batch(number)
            run, name = run or batch.run.run_id, batch.processed.dataset
        key = ", ".join(f"{column}={_short(row[column])}" for column in self.expected.key if column in row)
        place = "" if run is None else f" (record {row.get('_source_position')} of {run})"
        return f"{name or self._name()} {key}{place}"

    def _name(self) -> str:
        names = {batch.processed.dataset for batch in self.expected.batches.values()} | set(self.today)
        return next(iter(names)) if len(names) == 1 else self.expected.forms.table

    def _see(self, batch: Batch, parquet: pq.ParquetFile) -> None:
        """The batch's form, by the file's columns."""
        schema = pl.DataFrame(parquet.schema_arrow.empty_table()).schema
        has_source = batch.source is not None
        batch.form = self.expected.forms.of_parquet(batch.form.dataset, schema, has_source=has_source)
        batch.read_by = batch.form.dataset

    def _stored_by(self, batches: Mapping[str, Batch]) -> pl.DataFrame:
        numbers = [b.number for b in batches.values() if "s3sink" in b.stages and b.has_rows]
        return self.expected.index.filter(
            pl.col("_batch").is_in(pl.Series(numbers, dtype=pl.UInt32).implode())
        )

    @contextmanager
    def _readable(self, uri: str) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowInvalid, OSError) as error:
            self.findings.add("I1", uri, f"it cannot be read: {error}"[:300])


def _index(expected: Expected, rows: pl.DataFrame, batch: Batch) -> pl.DataFrame:
    """As the lake has the rows, lineage included."""
    return rows.select(
        *(pl.col(name).cast(dtype) for name, dtype in expected.key_types.items()),
        pl.lit(batch.run_number, pl.UInt32).alias("_run"),
        pl.lit(batch.number, pl.UInt32).alias("_batch"),
        "_source_position",
    ).with_columns(digest(rows, batch.form, batch.floats))


def _by(frame: pl.DataFrame, column: str) -> Iterator[tuple[int, pl.DataFrame]]:
    for (value,), rows in frame.partition_by(column, as_dict=True, maintain_order=True).items():
        yield value, rows


def _by_name(frame: pl.DataFrame, column: str) -> Iterator[tuple[str, pl.DataFrame]]:
    for (value,), rows in frame.partition_by(column, as_dict=True, maintain_order=True).items():
        yield value, rows


def _shaped(rows: pl.DataFrame, form: Form) -> pl.DataFrame:
    """With the form's columns and types; one that the rows lack is null."""
    kinds = form.kinds
    return pl.DataFrame(
        [
            pl.Series(name, [None], dtype).new_from_index(0, len(rows))
            if name not in rows.columns
            else compared(rows[name], kinds[name])
            if name in kinds
            else rows[name].cast(dtype, strict=False)
            for name, dtype in form.types.items()
        ]
    )


def _has_values(parquet: pq.ParquetFile, name: str) -> bool:
    return any(
        piece.column(0).null_count < piece.num_rows for piece in parquet.iter_batches(CHUNK, columns=[name])
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"  # noqa: PLR2004 - a line of a table
