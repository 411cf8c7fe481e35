"""I1: a table of PostgreSQL, row by row, against what must have arrived in it."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import asyncpg
import polars as pl

from console.verify.content import CHUNK, Content
from console.verify.database import AuditRows, as_client_errors
from console.verify.expected import Batch
from console.verify.findings import Findings
from console.verify.forms import LINEAGE, LINEAGE_TYPES, digest
from console.verify.stored import READ_OTHERWISE, of_driver, series_of
from shared.postgres.identifiers import quote

NO_EVIDENCE = (
    "neither the staged rows nor the lake has them any more, so what PostgreSQL has of them is not compared"
)
DROPPED = "the table is not there, and no dataset's file names it any more"
REFUSED = "PostgreSQL refused rows of it and their quarantine is swept, so as many may be missing"


class Table:
    """Memory is a chunk of rows and the keys."""

    def __init__(
        self, content: Content, audit: AuditRows, unknown: Collection[str], findings: Findings
    ) -> None:
        """`unknown`: batches whose dataset has no file, then or now, so that their columns are not known."""
        self._content = content
        self._expected = content.expected
        self._audit = audit
        self._unknown = unknown
        self._findings = findings
        self._tolerated: dict[int, int] = {}
        """How many more rows of a batch PostgreSQL may have refused."""

    async def look(self, connection: asyncpg.Connection) -> None:
        """Compares the whole table. Raises `ClientError` when PostgreSQL cannot be read."""
        wanted = self._newest()
        if not self._is_whole(wanted):
            return
        columns = self._columns()
        names = ", ".join(quote(name) for name in columns)
        seen: list[pl.DataFrame] = []
        with as_client_errors():
            async with connection.transaction(readonly=True):
                chunk: list[asyncpg.Record] = []
                query = f"SELECT {names} FROM public.{quote(self._expected.forms.table)}"  # noqa: S608 - quoted names
                async for row in connection.cursor(query, prefetch=CHUNK // 5):
                    chunk.append(row)
                    if len(chunk) == CHUNK:
                        seen.append(await asyncio.to_thread(self._look_at_rows, columns, chunk, wanted))
                        chunk = []
                seen.append(await asyncio.to_thread(self._look_at_rows, columns, chunk, wanted))
        self._check_keys(pl.concat(seen), wanted)

    def _is_whole(self, wanted: pl.DataFrame) -> bool:
        """Whether the table can be compared: it is there, with the columns that every load writes."""
        forms = self._expected.forms
        if {*self._expected.key, *LINEAGE} <= set(forms.has):
            self._require_loaded_columns()
            return True
        if len(wanted) and (forms.has or forms.today):
            what = "it lacks columns that every load writes" if forms.has else "it is not there"
            self._findings.add("I1", f"table {forms.table}", f"{what}, {len(wanted)} rows were loaded")
        elif len(wanted):
            self._findings.note(DROPPED, forms.table)
        return False

    def _require_loaded_columns(self) -> None:
        """What was loaded and today's file still names is a column of the table."""
        forms, told = self._expected.forms, set()
        for batch in self._expected.batches.values():
            today = forms.today.get(batch.processed.dataset)
            if "loader" not in batch.stages or today is None:
                continue
            named = {column.name for column in today.columns}
            told |= {name for name in batch.form.names if name in named and name not in forms.has}
        for name in sorted(told):
            self._findings.add("I1", f"table {forms.table}", f"it has no column {name}, which was loaded")

    def _columns(self) -> list[str]:
        compared = {name for b in self._expected.batches.values() for name in b.form.compared}
        return sorted(compared | set(self._expected.key)) + list(LINEAGE)

    def _look_at_rows(
        self, columns: Sequence[str], rows: Sequence[asyncpg.Record], wanted: pl.DataFrame
    ) -> pl.DataFrame:
        """The keys of the rows."""
        frame = self._from_rows(columns, rows)
        self._findings.count("I1", len(frame))
        keys = list(self._expected.key)
        joined = frame.join(
            wanted.select(*keys, "_run", "_batch", pl.col("_row").alias("_wanted"), pl.col("_source_position").alias("_at")),
            on=keys, how="left",
        )  # fmt: skip
        for row in joined.filter(pl.col("_wanted").is_null()).iter_rows(named=True):
            self._odd_row(row)
        forms = {b.number: (b.form.compared, b.floats) for b in self._expected.batches.values()}
        for form_ in dict.fromkeys(forms.values()):
            numbers = pl.Series([n for n, names in forms.items() if names == form_], dtype=pl.UInt32)
            some = joined.filter(pl.col("_batch").is_in(numbers.implode()))
            if len(some):
                form = self._expected.batch(some["_batch"][0]).form
                for row in some.filter(digest(some, form, form_[1]) != some["_wanted"]).iter_rows(named=True):
                    self._odd_row(row)
        return frame.select(keys)

    def _odd_row(self, row: dict[str, Any]) -> None:
        """A row that is not as it must be, or of which there is no evidence."""
        run_id = row["_run_id"]
        there = (row["_requested_at"], run_id)
        wanted = None if row["_wanted"] is None else self._expected.batch(row["_batch"])
        is_newer = wanted is None or there > wanted.run.order
        if is_newer and run_id in self._audit.others:
            return  # the row is of a run that is not checked
        if is_newer and self._is_without_evidence(row["_batch_id"]):
            self._findings.note(NO_EVIDENCE, f"{self._expected.forms.table} of {run_id}")
            return
        if wanted is None:
            self._findings.add(
                "I1",
                self._content.subject(row),
                f"PostgreSQL has it, and {run_id} did not load it",
            )
        elif is_newer or not self._may_be_refused(wanted):
            self._content.differs(row, wanted, "PostgreSQL", row["_at"])

    def _is_without_evidence(self, batch_id: str) -> bool:
        """Whether the batch was loaded, and no evidence of its rows is left."""
        batch = self._expected.batches.get(batch_id)
        if batch is None:
            return batch_id in self._unknown
        return "loader" in batch.stages and not batch.has_rows

    def _may_be_refused(self, batch: Batch) -> bool:
        """Whether PostgreSQL refused rows of the batch of which it is not known which; each counts once."""
        left = self._tolerated.setdefault(batch.number, batch.unloaded_unknown)
        if left == 0:
            return False
        self._tolerated[batch.number] = left - 1
        self._findings.note(REFUSED, batch.processed.name)
        return True

    def _check_keys(self, keys: pl.DataFrame, wanted: pl.DataFrame) -> None:
        for lost in wanted.join(keys, on=self._expected.key, how="anti").iter_rows(named=True):
            if not self._may_be_refused(self._expected.batch(lost["_batch"])):
                self._findings.add("I1", self._content.subject(lost), "it is not in PostgreSQL")
        twice = keys.group_by(self._expected.key).len().filter(pl.col("len") > 1)
        for double in twice.iter_rows(named=True):
            self._findings.add(
                "I1", self._content.subject(double), f"it is in PostgreSQL {double['len']} times"
            )

    def _newest(self) -> pl.DataFrame:
        """Of the rows that were loaded, the one per key that must be there."""
        loaded = [b for b in self._expected.batches.values() if "loader" in b.stages and b.has_rows]
        numbers = pl.Series([b.number for b in loaded], dtype=pl.UInt32)
        rows = self._expected.index.filter(pl.col("_batch").is_in(numbers.implode()))
        for batch in loaded:
            if batch.unloaded:
                refused = pl.Series(sorted(batch.unloaded), dtype=pl.Int64).implode()
                is_refused = (pl.col("_batch") == batch.number) & pl.col("_source_position").is_in(refused)
                rows = rows.filter(~is_refused)
        order = ["_run", "_source_position"]
        return rows.sort(order).unique(self._expected.key, keep="last", maintain_order=True)

    def _from_rows(self, columns: Sequence[str], rows: Sequence[asyncpg.Record]) -> pl.DataFrame:
        values: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else [()] * len(columns)
        return pl.DataFrame(
            [self._series(name, column) for name, column in zip(columns, values, strict=True)]
        )

    def _series(self, name: str, values: Sequence[Any]) -> pl.Series:
        if name in LINEAGE_TYPES:
            return pl.Series(name, values, LINEAGE_TYPES[name], strict=True)
        column = self._expected.forms.column(name)
        kind = column.value_type
        if kind.name in READ_OTHERWISE or kind.item is not None:
            values = [of_driver(kind, value, column.encoding or "base64") for value in values]
        return series_of(name, kind, values)
