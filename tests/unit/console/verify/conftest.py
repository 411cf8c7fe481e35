"""A table of one dataset, whose batches are Parquet files in a folder: what the checker sees, without any server."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from console.verify.content import Content
from console.verify.database import AuditRows, Result, Run
from console.verify.expected import gather, with_lineage
from console.verify.findings import Findings
from console.verify.forms import Forms
from console.verify.staging import Documents
from console.verify.stored import DTYPES
from console.verify.table import Table
from shared.datasets.model import Dataset

START = datetime(2026, 11, 28, 6, 0, tzinfo=UTC)
POSTGRES = {"int64": "bigint", "string": "text", "float64": "double precision", "date": "date"}

LINEAGE = {
    "_run_id": "text",
    "_batch_id": "text",
    "_requested_at": "timestamp with time zone",
    "_source_position": "bigint",
}


def dataset_of(columns: Mapping[str, str], table: str = "onpoint_d", name: str = "d") -> Dataset:
    return Dataset.model_validate(
        {
            "name": name,
            "source": {
                "name": "s",
                "kind": "api",
                "base_url": "http://h",
                "path": "/",
                "pagination": {"kind": "none"},
            },
            "table": table,
            "key": ["id"],
            "columns": [{"name": column, "type": kind} for column, kind in columns.items()],
        }
    )


@dataclass
class Installation:
    """`today`: the dataset's file as it is now; `has`: the table's columns, by default those of the file."""

    folder: Path
    today: Dataset
    has: Mapping[str, str]
    findings: Findings = field(default_factory=Findings)
    runs: dict[str, Run] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    frozen: dict[tuple[str, str], Dataset] = field(default_factory=dict)
    staged: dict[str, Path] = field(default_factory=dict)
    lake: dict[str, Path] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    refused: dict[str, frozenset[int]] = field(default_factory=dict)
    """Positions that PostgreSQL refused, by run."""
    refused_somewhere: dict[str, int] = field(default_factory=dict)
    """The number of refused rows by run, where their quarantine is swept."""

    def run(
        self,
        run_id: str,
        file: Dataset,
        rows: Sequence[Mapping[str, Any]],
        *,
        stored: Sequence[Mapping[str, Any]] | None = None,
        swept: bool = False,
        frozen: bool = False,
        stages: Sequence[str] = ("loader", "s3sink"),
    ) -> None:
        """A run of one batch; `stored` is what the lake has, by default the very rows."""
        at = START + timedelta(minutes=len(self.runs))
        self.runs[run_id] = Run(run_id, "succeeded", at, at, ("d",), {}, None, None, {"d": 1})
        if frozen:
            self.frozen[run_id, "d"] = file
        counts = (len(rows), len(rows), 0, 0, 0, 0, 0, 0)
        for stage in ("processor", *stages):
            self.results.append(Result(run_id, "d", 0, f"batch of {run_id}", stage, "done", None, counts, ()))  # type: ignore[arg-type]
        schema = {column.name: DTYPES[column.type] for column in file.columns}
        if not swept:
            self.staged[run_id] = self._write(f"clean-{run_id}", run_id, pl.DataFrame(rows, schema))
        if "s3sink" in stages:
            in_lake = pl.DataFrame(rows, schema) if stored is None else self._typed(stored)
            self.lake[run_id] = self._write(f"lake-{run_id}", run_id, in_lake)

    def load(self, run_id: str, row: Mapping[str, Any], position: int = 0) -> None:
        """PostgreSQL has the row, as the run brought it."""
        run = self.runs[run_id]
        self.rows.append(
            {
                **row,
                "_run_id": run_id,
                "_batch_id": f"batch of {run_id}",
                "_requested_at": run.requested_at,
                "_source_position": position,
            }
        )

    def problems(self) -> list[str]:
        """What is found in the lake and in the table."""
        documents = Documents(frozen=self.frozen)
        audit = AuditRows(self.runs, frozenset(), self.results, [], [], [], frozenset())
        files = {
            (run_id, "d"): (self.frozen.get((run_id, "d"), self.today), (run_id, "d") in self.frozen)
            for run_id in self.runs
        }
        has = {**self.has, **LINEAGE} if self.has else {}
        forms = Forms("onpoint_d", has, {"d": self.today}, self.findings)
        expected = gather(forms, files, ["id"], {"id": pl.Int64()}, {}, audit, documents)
        for run_id in self.runs:
            if (batch := expected.batches.get(f"batch of {run_id}")) is not None:
                batch.unloaded = self.refused.get(run_id, frozenset())
                batch.unloaded_unknown = self.refused_somewhere.get(run_id, 0)
        content = Content(expected, {"d": self.today}, self.findings)
        for run_id, file in self.staged.items():
            content._look_at_clean([expected.batches[f"batch of {run_id}"]], file)  # noqa: SLF001 - in this thread
        asyncio.run(content.settle())
        for run_id, file in self.lake.items():
            content._look_at_object(self.runs[run_id], "d", f"lake-{run_id}", file)  # noqa: SLF001 - as above
        content.end_of_lake()
        self._look_at_table(Table(content, audit, (), self.findings))
        return [f"{violation.subject}: {violation.message}" for violation in self.findings.violations]

    def _look_at_table(self, table: Table) -> None:
        wanted = table._newest()  # noqa: SLF001 - without a connection
        if table._is_whole(wanted):  # noqa: SLF001 - as above
            columns = table._columns()  # noqa: SLF001 - as above
            rows: Any = [tuple(row.get(name) for name in columns) for row in self.rows]
            table._check_keys(table._look_at_rows(columns, rows, wanted), wanted)  # noqa: SLF001 - as above

    def _typed(self, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
        """A column without values has the type of today's file."""
        types = {column.name: DTYPES[column.type] for column in self.today.columns}
        return pl.DataFrame(rows, schema_overrides={name: types[name] for name in rows[0] if name in types})

    def _write(self, name: str, run_id: str, frame: pl.DataFrame) -> Path:
        run = self.runs[run_id]
        audit_rows = AuditRows(
            {run_id: run},
            frozenset(),
            [r for r in self.results if r.run_id == run_id],
            [],
            [],
            [],
            frozenset(),
        )
        forms = Forms("onpoint_d", {}, {}, Findings())
        files = {(run_id, "d"): (self.today, True)}
        batch = gather(forms, files, ["id"], {"id": pl.Int64()}, {}, audit_rows, Documents()).batch(0)
        path = self.folder / f"{name}.parquet"
        with_lineage(frame, batch, pl.Series(range(len(frame)), dtype=pl.Int64)).write_parquet(path)
        return path


MakeInstallation = Callable[..., Installation]


@pytest.fixture
def make_installation(tmp_path: Path) -> MakeInstallation:
    def make(today: Mapping[str, str], has: Mapping[str, str] | None = None) -> Installation:
        columns = {name: POSTGRES[kind] for name, kind in today.items()}
        return Installation(tmp_path, dataset_of(today), columns if has is None else has)

    return make
