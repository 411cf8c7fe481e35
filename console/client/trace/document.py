"""A trace as JSON. Pure."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from console.client.trace.model import Row, Trace
from shared.events.times import utc_text


def document(trace: Trace) -> dict[str, Any]:
    """Times are UTC. What is not known is null."""
    return {
        "dataset": trace.dataset,
        "asked": trace.asked,
        "rows": [_row(row, trace.table) for row in trace.rows],
        "more": trace.more,
        "searched": {**asdict(trace.searched), "is_complete": trace.searched.is_complete},
    }


def _row(row: Row, table: str) -> dict[str, Any]:
    batch, run, evidence = row.batch, row.run, row.evidence
    return {
        "state": row.state,
        "run_id": row.origin.run_id,
        "batch_id": row.origin.batch_id,
        "source_position": row.origin.position,
        "requested_at": utc_text(row.origin.requested_at),
        "table": table if row.state == "current" else None,
        "loaded_at": _when(row.loaded_at),
        "lake": [asdict(file) for file in row.lake],
        "exports": [asdict(file) for file in row.exports],
        "refused": None if row.refusal is None else asdict(row.refusal),
        "request": None if evidence.request is None else asdict(evidence.request),
        "raw": evidence.raw,
        "raw_uri": evidence.raw_uri,
        "raw_line": evidence.line,
        "crawled_by": evidence.crawled_by,
        "code_version": evidence.code_version,
        "gone": evidence.gone,
        "batch": None
        if batch is None
        else {
            "sequence": batch.sequence,
            "stages": [asdict(stage) for stage in batch.stages],
            "files": [asdict(file) for file in batch.files],
        },
        "run": None if run is None else {**asdict(run), "requested_at": utc_text(run.requested_at)},
    }


def _when(value: datetime | None) -> str | None:
    return None if value is None else utc_text(value)
