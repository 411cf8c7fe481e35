"""Which run's batches belong into which table, by the dataset's file of that time or else by today's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg

from console.verify.compactions import Compactions
from console.verify.content import Content
from console.verify.database import AuditRows, Run, table_columns
from console.verify.expected import Batch, gather
from console.verify.findings import Findings
from console.verify.forms import Forms
from console.verify.objects import Named, Visit
from console.verify.source import SourceRecords
from console.verify.staging import Documents
from console.verify.stored import dtype_of
from shared.datasets.model import Dataset
from shared.datasets.type_spelling import type_of_postgres

NO_FILE = "no dataset file is here, so its records are not compared"
NO_SOURCE = (
    "no source was given, so PostgreSQL and the lake are compared with what was staged, or with each other"
)
OTHER_KEY = "the table has a key column of a type that no dataset has, so it is not compared"

Files = dict[tuple[str, str], tuple[Dataset, bool]]
"""By run and dataset: the file, and whether it is the one of that time."""


@dataclass(slots=True)
class Tables:
    contents: dict[str, Content] = field(default_factory=dict)
    """By table."""
    unknown: set[str] = field(default_factory=set)
    """Batches of datasets that have no file, then or now."""
    _of_run: dict[tuple[str, str], Content] = field(default_factory=dict)
    """By run and dataset."""
    _clean: dict[str, list[Batch]] = field(default_factory=dict)
    """By the URI of the staged Parquet: batches without rows share one."""

    async def gather(
        self,
        audit: AuditRows,
        documents: Documents,
        catalog: Mapping[str, Dataset],
        sources: Mapping[str, SourceRecords],
        connection: asyncpg.Connection,
        compactions: Compactions,
        findings: Findings,
    ) -> None:
        """Finds every table that a run wrote, and, where all runs are looked at, every table of a dataset."""
        by_table = self._sort(audit, documents, catalog, findings)
        if audit.everything:
            for dataset in catalog.values():
                by_table.setdefault(dataset.table, {})
        names = {name for files in by_table.values() for _, name in files}
        for name in sorted(names - set(sources)):
            findings.note(NO_SOURCE, name)
        for table, files in sorted(by_table.items()):
            content = await self._content(
                table, files, audit, documents, catalog, sources, connection, findings
            )
            if content is not None:
                content.latest = {
                    (run_id, name) for _, name in files for run_id in compactions.latest_runs(name)
                }
                content.has_every_run = audit.everything
                self._add(table, files, content)

    def split(self, files: Sequence[Named]) -> tuple[list[Named], list[Named]]:
        """The staged Parquet files, which must be looked at first; the others."""
        staged = [named for named in files if named.file.uri in self._clean]
        return staged, [named for named in files if named.file.uri not in self._clean]

    def visit(self, named: Named, documents: Documents) -> Visit | None:
        """What is to be done with the file while it is here; None: nothing for I1."""
        content = self._of_run.get((named.run.run_id, named.dataset))
        if content is None:
            return None
        if (batches := self._clean.get(named.file.uri)) is not None:
            wanted = [batch for batch in batches if batch.source is None or not batch.form.is_certain]
            return (lambda path: content.look_at_clean(wanted, path)) if wanted else None
        if named.sharing:
            runs = [run for run in named.sharing if _is_listed(run, named, documents)]
            return lambda path: content.look_at_shared(runs, named.dataset, named.file.uri, path)
        if named.stage == "s3sink" and _is_listed(named.run, named, documents):
            return lambda path: content.look_at_object(named.run, named.dataset, named.file.uri, path)
        return None

    def _sort(
        self, audit: AuditRows, documents: Documents, catalog: Mapping[str, Dataset], findings: Findings
    ) -> dict[str, Files]:
        by_table: dict[str, Files] = {}
        for run in sorted(audit.runs.values(), key=lambda run: run.order):
            for name in run.planned:
                frozen = documents.frozen.get((run.run_id, name))
                dataset = frozen or catalog.get(name)
                if dataset is None:
                    findings.note(NO_FILE, name)
                    self.unknown |= {
                        r.batch_id for r in audit.results if (r.run_id, r.dataset) == (run.run_id, name)
                    }
                    continue
                place = (run.run_id, name)
                by_table.setdefault(dataset.table, {})[place] = (dataset, frozen is not None)
        return by_table

    async def _content(
        self,
        table: str,
        files: Files,
        audit: AuditRows,
        documents: Documents,
        catalog: Mapping[str, Dataset],
        sources: Mapping[str, SourceRecords],
        connection: asyncpg.Connection,
        findings: Findings,
    ) -> Content | None:
        """None: the table cannot be compared, or there is nothing to compare."""
        has = await table_columns(connection, table)
        today = {dataset.name: dataset for dataset in catalog.values() if dataset.table == table}
        newest = next(iter(today.values()), None) or [dataset for dataset, _ in files.values()][-1]
        if not has and not files:
            return None
        found = {name: type_of_postgres(has.get(name, "")) for name in newest.key}
        if has and any(kind is None or not kind.kind.is_key for kind in found.values()):
            findings.note(OTHER_KEY, table)
            return None
        types = {column.name: column.value_type for column in newest.columns}
        key_types = {name: dtype_of((found[name] if has else None) or types[name]) for name in newest.key}
        forms = Forms(table, has, today, findings)
        expected = gather(forms, files, newest.key, key_types, sources, audit, documents)
        return Content(expected, today, findings)

    def _add(self, table: str, files: Files, content: Content) -> None:
        self.contents[table] = content
        for place in files:
            self._of_run[place] = content
        for batch in content.expected.batches.values():
            for file in batch.processed.files:
                if file.format == "parquet":
                    self._clean.setdefault(file.uri, []).append(batch)


def _is_listed(run: Run, named: Named, documents: Documents) -> bool:
    listing = documents.listings.get(run.run_id, {})
    entry = listing.get("datasets", {}).get(named.dataset, {})
    return any(file["uri"] == named.file.uri for file in entry.get("objects", ()))
