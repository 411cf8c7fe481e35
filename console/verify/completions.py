"""I4 and I5: a run has one completion, a true one; no run, transaction or temporary table is unfinished."""

from collections import Counter
from typing import Any

import asyncpg

from console.verify.bus import Bus
from console.verify.compactions import Compactions, entry_of
from console.verify.database import ENDED, AuditRows, Run, as_client_errors
from console.verify.findings import Findings
from console.verify.objects import listed
from console.verify.staging import Documents

IDLE_S = 1.0
"""A transaction that waits longer for its client is abandoned: those of the services wait for PostgreSQL alone."""

NOT_TAKEN_UP = "it was asked for, and no service has taken it up"
"""I6 names its request, unless that is in the dead letters."""

_SESSIONS = """
SELECT pid, application_name, extract(epoch FROM clock_timestamp() - state_change) AS seconds
FROM pg_stat_activity
WHERE datname = current_database() AND state LIKE 'idle in transaction%' AND application_name LIKE 'onpoint%'
    AND pid <> pg_backend_pid()
    AND clock_timestamp() - state_change > make_interval(secs => $1)
"""
_PREPARED = "SELECT gid, owner FROM pg_prepared_xacts WHERE database = current_database()"
_ORPHANED_TABLES = """
SELECT n.nspname AS room, c.relname AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND (
    c.relpersistence = 't' AND c.relname LIKE 'onpoint\\_%' OR n.nspname LIKE 'onpoint\\_%' AND c.relpersistence = 'u'
)
"""


def check_completions(
    audit: AuditRows, bus: Bus, compactions: Compactions, documents: Documents, findings: Findings
) -> None:
    """A run that has ended has one completion, others have none; completion and listing agree with the ledger."""
    completions: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for seen, value in bus.completions:
        completions.setdefault(str(value.get("run_id")), []).append((str(seen), value))
    for run in audit.runs.values():
        found = completions.get(run.run_id, [])
        subject = f"run.completed of {run.run_id}"
        if run.status in ENDED:
            places = ", ".join(place for place, _ in found) or "none"
            findings.require("I4", len(found) == 1, subject, f"one is expected, there is {places}")
        for place, value in found:
            findings.require("I4", run.status in ENDED, place, f"{run.run_id} has not ended in the ledger")
            if run.completed is not None:
                wrong = [name for name in sorted({*value, *run.completed} - {"version", "revision"})
                         if value.get(name) != run.completed.get(name)]  # fmt: skip
                findings.require("I4", not wrong, place, f"it differs from the ledger in {', '.join(wrong)}")
        _check_listing(run, audit, compactions, documents, findings)
    for run_id, found in completions.items():
        if run_id not in audit.runs and run_id not in audit.others:
            findings.add("I4", found[0][0], f"it completes {run_id}, which the ledger does not know")


def check_observed(observed: list[dict[str, Any]], audit: AuditRows, findings: Findings) -> None:
    """What a reader saw the moment that it read `run.completed`: rows per dataset in PostgreSQL, and the listing."""
    for seen in observed:
        run = audit.runs.get(str(seen.get("run_id")))
        if run is None or run.completed is None:
            continue
        subject = f"run.completed of {run.run_id}"
        findings.require("I4", seen.get("listing", True), subject, "it was seen before the listing was there")
        for dataset, rows in seen.get("rows", {}).items():
            loaded = run.completed["datasets"].get(dataset, {}).get("rows_loaded", 0)
            findings.require(
                "I4", rows >= loaded, subject, f"it was seen with {rows} of {loaded} rows of {dataset} loaded"
            )


def _check_listing(
    run: Run, audit: AuditRows, compactions: Compactions, documents: Documents, findings: Findings
) -> None:
    if run.status not in ENDED or run.completed is None:
        return
    listing = documents.listings.get(run.run_id)
    subject = f"listing _runs/{run.run_id}.json"
    if not findings.require("I4", listing is not None, subject, "it is not there") or listing is None:
        return
    for name, value in (("status", run.status), ("superseded_by", run.superseded_by)):
        findings.require(
            "I4", listing.get(name) == value, subject, f"{name} is {listing.get(name)}, not {value}"
        )
    files = listed(listing)
    for uri, number in Counter(file.uri for _, file in files).items():
        findings.require("I4", number == 1, subject, f"it names {uri} {number} times")
    in_ledger = {
        (file.uri, file.rows, file.bytes, file.sha256): result.dataset
        for result in audit.results
        if result.run_id == run.run_id and result.stage in {"converter", "s3sink"} and result.status == "done"
        for file in result.files
        if file.uri not in compactions.by_source
    }
    in_ledger |= {
        (file.uri, file.rows, file.bytes, file.sha256): combined.dataset
        for combined in audit.combined
        if combined.run_id == run.run_id
        for file in combined.files
    }
    in_ledger |= {entry_of(file): one.dataset for one, file in compactions.of_run(run.run_id)}
    in_listing = {(file.uri, file.rows, file.bytes, file.sha256) for _, file in files}
    for entry in sorted(set(in_ledger) - in_listing):
        if in_ledger[entry] in run.completed["datasets"]:
            findings.add("I4", subject, f"it lacks {entry[0]}, or names other rows, bytes or digest for it")
    for entry in sorted(in_listing - set(in_ledger)):
        findings.add("I4", subject, f"it names {entry[0]} in a way that no result does")
    for one, file in compactions.of_run(run.run_id):
        named = [entry for entry in _objects(listing, one.dataset) if entry["uri"] == file.uri]
        told = [(entry.get("where"), entry.get("rows_of_run")) for entry in named]
        wanted = [({"_run_id": run.run_id}, one.runs[run.run_id])]
        findings.require("I4", told in ([], wanted), subject, f"it tells other rows of {file.uri}")


def _objects(listing: dict[str, Any], dataset: str) -> list[dict[str, Any]]:
    entry = listing["datasets"].get(dataset, {})
    return list(entry.get("objects", ()))


async def check_ends(audit: AuditRows, connection: asyncpg.Connection, findings: Findings) -> None:
    """Of runs, lake objects and batches, and of PostgreSQL itself: sessions, prepared transactions, orphaned tables.

    Raises `ClientError` when PostgreSQL cannot be read.
    """
    for run in audit.runs.values():
        if run.started_at is None and run.status not in ENDED:
            findings.note(NOT_TAKEN_UP, run.run_id)
            continue
        findings.require("I5", run.status in ENDED, f"run {run.run_id}", f"it is {run.status}")
    for entry in audit.objects:
        subject = f"lake object {entry.object_name} of {entry.run_id}/{entry.dataset}"
        findings.require("I5", entry.state == "announced", subject, f"it is {entry.state}")
    for batch in audit.stored:
        subject = f"batch {batch.batch_id} ({batch.run_id}/{batch.dataset}) at s3sink"
        findings.require("I5", batch.status != "pending" and not batch.unannounced, subject,
                         f"it is {batch.status}{', its result event unpublished' if batch.unannounced else ''}")  # fmt: skip
    with as_client_errors():
        for row in await connection.fetch(_SESSIONS, IDLE_S):
            findings.add("I5", f"PostgreSQL session {row['pid']} ({row['application_name']})",
                         f"it has been idle in a transaction for {row['seconds']:.0f} s")  # fmt: skip
        for row in await connection.fetch(_PREPARED):
            findings.add("I5", f"prepared transaction {row['gid']}", f"{row['owner']} left it")
        for row in await connection.fetch(_ORPHANED_TABLES):
            findings.add("I5", f"table {row['room']}.{row['name']}", "it is left over")
    findings.count("I5", 3)
