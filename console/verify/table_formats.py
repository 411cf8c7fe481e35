"""Tables of Delta Lake and Iceberg: each names exactly the files that count of the runs that were to be in it."""

import asyncio
from collections.abc import Mapping

from console.verify.compactions import Compactions
from console.verify.database import AuditRows
from console.verify.findings import Findings
from console.verify.staging import Documents
from shared.datasets.lake import TableKind
from shared.errors import ConfigurationError
from shared.lake.tables.open import LakeTables
from shared.lake.tables.port import LakeTable

NOT_READ = "a table format is not installed here: python -m pip install 'onpoint[table-formats]'"


async def check_tables(
    tables: LakeTables, compactions: Compactions, audit: AuditRows, documents: Documents, findings: Findings
) -> None:
    """Where all runs are looked at. Raises `TransientError` where a table cannot be read."""
    for dataset in sorted({entry.dataset for entry in audit.objects}):
        try:
            existing = await tables.existing(dataset)
        except ConfigurationError:
            findings.note(NOT_READ, dataset)
            continue
        wanted = _wanted(dataset, compactions, audit, documents)
        known = _known(dataset, compactions, audit)
        for kind in sorted({*existing, *wanted}):
            there = await _files(existing, kind)
            _compare(f"table of {kind} {dataset}", there, wanted.get(kind, set()), known, findings)


def _wanted(
    dataset: str, compactions: Compactions, audit: AuditRows, documents: Documents
) -> dict[TableKind, set[str]]:
    """By the files that the runs were frozen with."""
    kinds: dict[str, TableKind | None] = {
        run_id: frozen.lake.table for (run_id, name), frozen in documents.frozen.items() if name == dataset
    }
    found: dict[TableKind, set[str]] = {}
    for result in audit.results:
        kind = kinds.get(result.run_id)
        if kind is not None and (result.dataset, result.stage, result.status) == (dataset, "s3sink", "done"):
            uris = {file.uri for file in result.files} - compactions.by_source.keys()
            found.setdefault(kind, set()).update(uris)
    for one, file in compactions.current:
        of_runs = {kinds.get(run_id) for run_id in one.runs}
        if one.dataset == dataset and len(of_runs) == 1 and (kind := of_runs.pop()) is not None:
            found.setdefault(kind, set()).add(file.uri)
    return found


def _known(dataset: str, compactions: Compactions, audit: AuditRows) -> set[str]:
    """What may be in a table: an object is in it before its batches have a result, and so is that of a compaction."""
    known = {file.uri for entry in audit.objects for file in entry.files if entry.dataset == dataset}
    known |= {one.file.uri for one in compactions.all if one.file is not None and one.dataset == dataset}
    return known - compactions.by_source.keys()


def _compare(
    subject: str, there: frozenset[str], wanted: set[str], known: set[str], findings: Findings
) -> None:
    for uri in sorted(wanted):
        findings.require("I4", uri in there, subject, f"it lacks {uri}")
    for uri in sorted(there):
        findings.require("I4", uri in known, subject, f"it names {uri}, which does not count")


async def _files(existing: Mapping[TableKind, LakeTable], kind: TableKind) -> frozenset[str]:
    table = existing.get(kind)
    state = None if table is None else await asyncio.to_thread(table.state)
    return frozenset() if state is None else state.files
