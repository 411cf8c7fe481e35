"""What the checker says of compactions: a right one passes, and each thing that can be wrong is named."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from console.verify.compactions import Compactions, check_dataset_listings, check_names, check_states
from console.verify.database import AuditRows, Compaction, File, Result, Run
from console.verify.findings import Findings
from console.verify.staging import Documents
from shared.lake.rules import LakeFile, Plan, object_name
from shared.storage.object_store import open_memory

LAKE = open_memory("lake")
FOLDER = "posts/year=2026/month=11/day=23/hour=04"
SHA256 = "a" * 64
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def source(number: int) -> File:
    return File(LAKE.uri(f"{FOLDER}/{number:032}.parquet"), "parquet", 10, 100, SHA256)


def a_compaction(*, latest: bool = False, state: str = "listed") -> Compaction:
    """Of the sources 1 and 2, as the product makes it."""
    files = tuple(
        LakeFile(f"{FOLDER}/{number:032}.parquet", source(number).uri, 10, 100, SHA256) for number in (1, 2)
    )
    plan = Plan("posts", FOLDER, files, latest)
    uri = LAKE.uri(f"{FOLDER}/{object_name(plan.name, SHA256)}.parquet")
    file = File(uri, "parquet", 20, 150, SHA256)
    uris = tuple(one.uri for one in files)
    return Compaction(plan.name, "posts", FOLDER, latest, state, file, NOW, uris, {"run-1": 10, "run-2": 10})


def names_of(compaction: Compaction) -> list[str]:
    findings = Findings()
    check_names(Compactions([compaction]), LAKE, findings)
    return [found.message for found in findings.violations]


def listed(compaction: Compaction, *files: File) -> list[str]:
    """What is wrong with a dataset's listing that names these files; both sources are in the ledger."""
    runs = {
        name: Run(name, "succeeded", NOW, NOW, ("posts",), {}, None, None, {"posts": 1})
        for name in ("run-1", "run-2")
    }
    results = [
        Result(name, "posts", 0, name, "s3sink", "done", None, (0,) * 8, (source(number),))
        for number, name in enumerate(runs, start=1)
    ]
    audit = AuditRows(runs, frozenset(), results, [], [], [], frozenset(), [], [compaction])
    documents = Documents()
    documents.of_datasets["posts"] = {
        "objects": [
            {"uri": one.uri, "rows": one.rows, "bytes": one.bytes, "sha256": one.sha256} for one in files
        ]
    }
    findings = Findings()
    check_dataset_listings(Compactions(audit.compactions), audit, documents, findings)
    return [found.message for found in findings.violations]


def test_names_are_derived_from_sources_and_bytes() -> None:
    right = a_compaction()
    assert names_of(right) == []
    assert names_of(a_compaction(latest=True)) == []
    assert right.file is not None
    for wrong in (
        replace(right, name="0" * 32),
        replace(right, sources=right.sources[:1]),
        replace(right, latest=True),
        replace(right, file=replace(right.file, sha256="b" * 64)),
        replace(right, folder="posts/year=2025"),
    ):
        assert names_of(wrong)


def test_one_that_did_not_get_to_its_end_is_named() -> None:
    for state in ("planned", "written", "committed"):
        findings = Findings()
        check_states(Compactions([a_compaction(state=state)]), findings)
        assert [state in found.message for found in findings.violations] == [True]
    findings = Findings()
    check_states(Compactions([a_compaction()]), findings)
    assert findings.violations == []


def test_a_listing_of_a_dataset_names_what_counts_and_nothing_else() -> None:
    done, begun = a_compaction(), a_compaction(state="written")
    assert done.file is not None
    assert listed(done, done.file) == []
    assert listed(begun, source(1), source(2)) == []
    assert listed(done, source(1), source(2)) != []
    assert listed(done, done.file, source(1)) != []
    assert listed(done, done.file, done.file) != []
    assert listed(done, replace(done.file, rows=19)) != []
    assert listed(done) != []


def test_a_replaced_file_may_be_gone_after_the_grace_time_only() -> None:
    compactions, grace = Compactions([a_compaction()]), timedelta(hours=24)
    assert not compactions.may_be_gone(source(1).uri, NOW + timedelta(hours=23), grace)
    assert compactions.may_be_gone(source(1).uri, NOW + grace, grace)
    assert not compactions.may_be_gone(source(3).uri, NOW + grace, grace)
    unlisted = Compactions([replace(a_compaction(state="committed"), listed_at=None)])
    assert not unlisted.may_be_gone(source(1).uri, NOW + 9 * grace, grace)
