"""I2: one result per batch and stage, and the same counts wherever they are written down."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from console.formatting import listed
from console.verify.database import COUNTS, LAST_STAGES, AuditRows, Result, Run
from console.verify.findings import Findings
from console.verify.staging import STAGES, Documents
from shared.events.topology import Stage

ByBatch = Mapping[tuple[str, str], Result]
"""By batch id and stage."""


def check_row_accounting(audit: AuditRows, documents: Documents, findings: Findings) -> None:
    """The ledger against the plans, the manifests, the loader's and the sink's own tables, and `run.completed`."""
    ledger: ByBatch = {(result.batch_id, result.stage): result for result in audit.results}
    for run in audit.runs.values():
        for dataset in sorted(run.planned):
            check_plan(run, dataset, audit, findings)
    check_handovers(ledger, findings)
    check_reasons(audit.results, findings)
    _check_manifests(ledger, documents, findings)
    _check_loaded(ledger, audit, findings)
    _check_stored(ledger, audit, findings)
    for run in audit.runs.values():
        if run.completed is not None:
            check_summary(run, [r for r in audit.results if r.run_id == run.run_id], run.completed, findings)


def check_plan(run: Run, dataset: str, audit: AuditRows, findings: Findings) -> None:
    """Every batch of the plan is done or dead at every stage of the run that it reached."""
    planned = run.planned[dataset]
    subject = f"{run.run_id}/{dataset}"
    found = {
        (r.sequence, r.stage): r for r in audit.results if (r.run_id, r.dataset) == (run.run_id, dataset)
    }
    if not findings.require("I2", planned is not None, subject, "the ledger knows no plan of it"):
        return
    assert planned is not None  # noqa: S101 - as just asserted
    for sequence in range(planned):
        crawled, processed = found.get((sequence, "crawler")), found.get((sequence, "processor"))
        expected: list[Stage] = ["crawler"]
        if crawled is None or crawled.status == "done":
            expected.append("processor")
            if processed is None or processed.status == "done":
                expected += run.last_stages
        for stage in expected:
            findings.require(
                "I2",
                (sequence, stage) in found,
                f"batch {sequence} of {subject} at {stage}",
                "it is neither done nor dead",
            )
        if processed is not None and processed.status == "dead":
            for stage in LAST_STAGES:
                findings.require(
                    "I2",
                    (sequence, stage) not in found,
                    f"batch {sequence} of {subject} at {stage}",
                    "it has a result, though it is dead at the processor",
                )
    check_unasked(run, planned, found, findings)


def check_unasked(
    run: Run, planned: int, found: Mapping[tuple[int, Stage], Result], findings: Findings
) -> None:
    """No batch is there that was not planned, and none is done at a stage that the run does not have."""
    for sequence, stage in sorted(found):
        result = found[sequence, stage]
        if sequence >= planned:
            findings.add("I2", result.name, f"{planned} batches were planned")
        if result.status == "done" and not run.has(stage):
            findings.add(
                "I2", result.name, f"it is done, and the run is a replay from {run.from_stage} alone"
            )


def check_handovers(ledger: ByBatch, findings: Findings) -> None:
    """What a stage read is what the stage before let through."""
    for result in ledger.values():
        if result.stage == "crawler" or (result.status == "dead" and result.counts[0] is None):
            continue
        parent = ledger.get((result.batch_id, "crawler" if result.stage == "processor" else "processor"))
        if parent is None or parent.status == "dead":
            continue
        handed = parent["read"] if result.stage == "processor" else parent["accepted"]
        findings.require(
            "I2",
            result["read"] == handed,
            result.name,
            f"it read {result['read']} rows, {parent.stage} handed over {handed}",
        )
        if result.status == "done":
            _check_sum(result, findings)


def check_reasons(results: Iterable[Result], findings: Findings) -> None:
    """Every refused row has a reason, and no more rows of a run repeat each other than were superseded.

    A result that counts no reasons was made before they were counted.
    """
    for result in results:
        if result.rejected_by_reason:
            total = sum(result.rejected_by_reason.values())
            findings.require(
                "I2",
                total == result["rejected"],
                result.name,
                f"{result['rejected']} rows were refused, its reasons are of {total}",
            )
        if result.repeated:
            gone = "superseded" if result.stage == "loader" else "deduplicated"
            findings.require(
                "I2",
                result.repeated <= result[gone],
                result.name,
                f"{result.repeated} rows repeat others of the run, of {result[gone]} {gone}",
            )


def _check_sum(result: Result, findings: Findings) -> None:
    match result.stage:
        case "processor":
            parts = [result[name] for name in ("accepted", "rejected", "deduplicated", "filtered")]
        case "loader":
            parts = [result[name] for name in ("loaded", "superseded", "rejected")]
        case _:
            parts = [result["accepted"]]
    findings.require(
        "I2",
        result["read"] + result["added"] == sum(parts),
        result.name,
        f"of {result['read']} rows and {result['added']} that a transform added it accounts for {parts}",
    )


def _check_manifests(ledger: ByBatch, documents: Documents, findings: Findings) -> None:
    for place, manifest in documents.manifests.items():
        if findings.require(
            "I2",
            place in ledger,
            manifest.result.name,
            "its manifest is in staging, the ledger does not know it",
        ):
            _same(ledger[place], manifest.result, "its manifest", findings)
    for place, result in ledger.items():
        # The record that died could not be decoded: only the ledger has the result.
        if result.stage in STAGES and place not in documents.manifests and result.counts[0] is not None:
            findings.add("I2", result.name, "it is in the ledger, and has no manifest in staging")


def _same(result: Result, other: Result, what: str, findings: Findings) -> None:
    unread = result.counts[0] is None
    own: tuple[Any, ...] = (result.status, result.counts, set(result.files))
    others: tuple[Any, ...] = (other.status, other.counts, set(other.files))
    if unread:
        own, others = own[:1], others[:1]
    findings.count("I2")
    if own == others and (unread or not _other_reasons(result, other)):
        return
    differing = [f"status {result.status}, not {other.status}"] if result.status != other.status else []
    if not unread:
        differing += [
            f"{name} {a}, not {b}"
            for name, a, b in zip(COUNTS, result.counts, other.counts, strict=True)
            if a != b
        ]
        if set(result.files) != set(other.files):
            differing.append(f"files {_files_beside(result, other)}, not {_files_beside(other, result)}")
        differing += _other_reasons(result, other)
    findings.add("I2", result.name, f"the ledger differs from {what}: {'; '.join(differing)}")


def _files_beside(result: Result, other: Result) -> str:
    """Those that only the first names, without their folder."""
    uris = sorted(file.uri.rpartition("/")[2] for file in set(result.files) - set(other.files))
    return listed(uris) if uris else "none"


def _other_reasons(result: Result, other: Result) -> list[str]:
    """A value that the ledger does not have contradicts nothing."""
    pairs = {
        "promised": (result.promised, other.promised),
        "rejected by reason": (dict(result.rejected_by_reason), dict(other.rejected_by_reason)),
        "absent": (set(result.absent), set(other.absent)),
    }
    return [f"{name} {a}, not {b}" for name, (a, b) in pairs.items() if a and a != b]


def _check_loaded(ledger: ByBatch, audit: AuditRows, findings: Findings) -> None:
    rows = {row.batch_id: row for row in audit.loaded}
    for (batch_id, stage), result in ledger.items():
        if stage != "loader" or result.counts[0] is None:
            continue
        row = rows.get(batch_id)
        if (
            findings.require("I2", row is not None, result.name, "the loader has no row of it")
            and row is not None
        ):
            findings.require(
                "I2",
                (row.status, row.rows_loaded, row.rows_superseded)
                == (result.status, result["loaded"] if result.status == "done" else row.rows_loaded,
                    result["superseded"] if result.status == "done" else row.rows_superseded),
                result.name,
                f"the loader has {row.status}, {row.rows_loaded} loaded, {row.rows_superseded} superseded; the ledger "
                f"{result.status}, {result['loaded']} loaded, {result['superseded']} superseded",
            )  # fmt: skip
    for batch_id, row in rows.items():
        name = f"batch {batch_id} ({row.run_id}/{row.dataset}) at loader"
        findings.require("I2", (batch_id, "loader") in ledger, name, "the loader has it, the ledger does not")


def _check_stored(ledger: ByBatch, audit: AuditRows, findings: Findings) -> None:
    rows = {row.batch_id: row for row in audit.stored}
    objects = {entry.object_name: entry for entry in audit.objects}
    for (batch_id, stage), result in ledger.items():
        if stage != "s3sink" or result.counts[0] is None:
            continue
        row = rows.get(batch_id)
        if (
            not findings.require("I2", row is not None, result.name, "the sink has no row of it")
            or row is None
        ):
            continue
        findings.require(
            "I2",
            (row.status == "dead") == (result.status == "dead") and row.status != "pending",
            result.name,
            f"the sink has {row.status}, the ledger {result.status}",
        )
        if result.status == "done":
            entry = objects.get(row.object_name or "")
            named = set() if entry is None else entry.files_of(batch_id)
            findings.require(
                "I2",
                named == set(result.files) and row.rows == result["read"],
                result.name,
                f"the sink has {row.rows} rows of it in {row.object_name}, the ledger has {result['read']} in "
                f"{', '.join(file.uri for file in result.files) or 'no object'}",
            )
    for batch_id, row in rows.items():
        name = f"batch {batch_id} ({row.run_id}/{row.dataset}) at s3sink"
        findings.require("I2", (batch_id, "s3sink") in ledger, name, "the sink has it, the ledger does not")


def check_summary(run: Run, results: list[Result], completed: Mapping[str, Any], findings: Findings) -> None:
    """`run.completed` has the ledger's sums. What was redriven later is in the ledger alone."""
    if any(result.is_redriven for result in results):
        findings.note(
            "dead letters were replayed, so its run.completed may be older than the ledger's counts",
            run.run_id,
        )
        return
    for dataset, summary in completed.get("datasets", {}).items():
        own = [r for r in results if r.dataset == dataset and run.has(r.stage)]
        _check_reasons(run, dataset, own, summary, findings)
        sums = summary_of(run, dataset, own)
        for name, value in sums.items():
            findings.require(
                "I2",
                summary.get(name, 0 if value == 0 else None) == value,
                f"run.completed of {run.run_id}",
                f"{dataset}: {name} is {summary.get(name)}, the ledger has {value}",
            )
    for dataset in run.planned:
        findings.require(
            "I2",
            dataset in completed.get("datasets", {}),
            f"run.completed of {run.run_id}",
            f"{dataset} is not in it",
        )


def _check_reasons(
    run: Run, dataset: str, results: list[Result], summary: Mapping[str, Any], findings: Findings
) -> None:
    """Why rows were refused and how many the source promised, where the results have it."""
    subject = f"run.completed of {run.run_id}"
    told: Mapping[str, int] = summary.get("rejected_by_reason") or {}
    refusing = [r for r in results if (r.stage, r.status) in {("processor", "done"), ("crawler", "dead")}]
    counted: Counter[str] = Counter()
    for result in refusing:
        counted.update(result.rejected_by_reason)
    # A run that went on while its services were renewed has batches of before reasons were counted.
    are_counted = all(r.rejected_by_reason or not r["rejected"] for r in refusing)
    if told or counted:
        rejected, reasons = summary.get("rows_rejected", 0), sum(told.values())
        findings.require(
            "I2",
            reasons == rejected or (reasons < rejected and not are_counted),
            subject,
            f"{dataset}: {summary.get('rows_rejected')} rows were rejected, its reasons are of {sum(told.values())}",
        )
        # A batch that is dead at the processor is rejected as a whole, for a reason of its own.
        less = [f"{told.get(name, 0)} of {n} {name}" for name, n in counted.items() if told.get(name, 0) < n]
        findings.require(
            "I2", not less, subject, f"{dataset}: it tells of fewer rejected rows: {', '.join(less)}"
        )
    promised = [r.promised for r in results if r.stage == "crawler" and r.promised is not None]
    if promised and summary.get("rows_promised") is not None:
        findings.require(
            "I2",
            summary["rows_promised"] >= max(promised),
            subject,
            f"{dataset}: rows_promised is {summary['rows_promised']}, an answer promised {max(promised)}",
        )


def summary_of(run: Run, dataset: str, results: list[Result]) -> dict[str, Any]:
    """The summary of a dataset, computed from its results."""
    at = {(r.batch_id, r.stage): r for r in results}

    def total(stage: Stage, status: str, count: str) -> int:
        return sum(r[count] for r in results if (r.stage, r.status) == (stage, status))

    def not_read(stage: Stage) -> int:
        rows = 0
        for result in results:
            if (result.stage, result.status) == (stage, "dead"):
                parent = at.get((result.batch_id, "crawler" if stage == "processor" else "processor"))
                handed = 0 if parent is None else parent["read" if stage == "processor" else "accepted"]
                rows += handed if result.counts[0] is None else result["read"]
        return rows

    stored = {file.uri: file for r in results if r.stage == "s3sink" for file in r.files}
    exports: dict[str, int] = {}
    for file in {file.uri: file for r in results if r.stage == "converter" for file in r.files}.values():
        label = file.format.partition(".")[0]
        exports[label] = exports.get(label, 0) + 1
    return {
        "batches": run.planned.get(dataset) or 0,
        "batches_dead": len({r.batch_id for r in results if r.status == "dead"}),
        "rows_crawled": total("crawler", "done", "read") + total("crawler", "dead", "read"),
        "rows_accepted": total("processor", "done", "accepted"),
        "rows_rejected": total("processor", "done", "rejected")
        + total("crawler", "dead", "read")
        + not_read("processor"),
        "rows_deduplicated": total("processor", "done", "deduplicated"),
        "rows_filtered": total("processor", "done", "filtered"),
        "rows_added": total("processor", "done", "added"),
        "rows_loaded": total("loader", "done", "loaded"),
        "rows_superseded": total("loader", "done", "superseded"),
        "rows_not_loaded": not_read("loader") + total("loader", "done", "rejected"),
        "rows_stored": total("s3sink", "done", "read"),
        "rows_not_stored": not_read("s3sink"),
        "objects_stored": len(stored),
        "bytes_stored": sum(file.bytes for file in stored.values()),
        "exports": exports,
    }
