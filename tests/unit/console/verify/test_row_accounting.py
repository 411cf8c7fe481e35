"""The reasons of refused rows, and those in `run.completed`, must add up; results without counted reasons pass."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from console.verify.database import AuditRows, File, Result, Run
from console.verify.findings import Findings
from console.verify.row_accounting import (
    check_handovers,
    check_plan,
    check_reasons,
    check_row_accounting,
    check_summary,
    summary_of,
)
from console.verify.staging import Documents, Manifest

NOW = datetime(2026, 11, 28, 6, 0, tzinfo=UTC)
CRAWLED = Result("r", "posts", 0, "b" * 32, "crawler", "done", None, (10, 0, 0, 0, 0, 0, 0, 0), ())
PROCESSED = replace(
    CRAWLED, stage="processor", counts=(10, 7, 2, 1, 0, 0, 0, 0), rejected_by_reason={"type": 1, "no_key": 1}
)
LOADED = replace(CRAWLED, stage="loader", counts=(7, 0, 1, 0, 4, 2, 0, 0), repeated=1)
RESULTS = [CRAWLED, PROCESSED, LOADED]
RUN = Run("r", "succeeded", NOW, NOW, ("posts",), None, None, None, {"posts": 1})


def completion(**changes: Any) -> dict[str, Any]:
    return {"datasets": {"posts": {**summary_of(RUN, "posts", RESULTS), **changes}}}


def problems(results: list[Result], completed: dict[str, Any]) -> list[str]:
    findings = Findings()
    check_handovers({(r.batch_id, r.stage): r for r in results}, findings)
    check_reasons(results, findings)
    check_summary(RUN, results, completed, findings)
    return [violation.message for violation in findings.violations]


def test_rows_that_postgresql_refused_are_read_and_not_loaded() -> None:
    assert summary_of(RUN, "posts", RESULTS)["rows_not_loaded"] == 1
    assert problems(RESULTS, completion(rejected_by_reason={"no_key": 1, "type": 1})) == []


def test_results_of_before_reasons_were_counted_are_right() -> None:
    old = [replace(result, rejected_by_reason={}) for result in RESULTS]
    assert problems(old, completion()) == []
    assert problems(old, completion(rejected_by_reason={}, rows_promised=None)) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": 3},
        {"type": 1},
        {"type": 1, "no_key": 1, "nul": 1},
        {"type": 2},
        {},
    ],
    ids=str,
)
def test_reasons_that_do_not_add_up_are_told(wrong: dict[str, int]) -> None:
    assert problems(RESULTS, completion(rejected_by_reason=wrong)) != []


def test_a_batch_with_other_reasons_than_rows_is_told() -> None:
    wrong = replace(PROCESSED, rejected_by_reason={"type": 3})
    assert "2 rows were refused, its reasons are of 3" in problems([CRAWLED, wrong, LOADED], completion())


def test_more_repeated_than_superseded_is_told() -> None:
    wrong = replace(LOADED, repeated=3)
    assert problems([CRAWLED, PROCESSED, wrong], completion(rejected_by_reason={"no_key": 1, "type": 1})) == [
        "3 rows repeat others of the run, of 2 superseded"
    ]


def test_a_batch_dead_at_the_processor_is_rejected_for_its_own_reason() -> None:
    dead = replace(
        PROCESSED, status="dead", reason="checksum", counts=(10, 0, 0, 0, 0, 0, 0, 0), rejected_by_reason={}
    )
    audit = {"datasets": {"posts": summary_of(RUN, "posts", [CRAWLED, dead])}}
    audit["datasets"]["posts"]["rejected_by_reason"] = {"checksum": 10}
    assert problems([CRAWLED, dead], audit) == []


@pytest.mark.parametrize(("promised", "told", "is_right"), [(12, 12, True), (12, 40, True), (12, 11, False)])
def test_what_an_answer_promised_is_in_the_completion(promised: int, told: int, *, is_right: bool) -> None:
    results = [replace(CRAWLED, promised=promised), PROCESSED, LOADED]
    found = problems(results, completion(rejected_by_reason={"no_key": 1, "type": 1}, rows_promised=told))
    assert (found == []) is is_right


@pytest.mark.parametrize(("told", "is_right"), [({}, True), ({"type": 1}, True), ({"type": 1000}, False)])
def test_a_run_that_went_on_while_its_services_were_renewed_tells_some_reasons(
    told: dict[str, int], *, is_right: bool
) -> None:
    old = [replace(result, rejected_by_reason={}) for result in RESULTS]
    assert (problems(old, completion(rejected_by_reason=told)) == []) is is_right


def planned(run: Run, *results: Result) -> list[str]:
    findings = Findings()
    audit = AuditRows({run.run_id: run}, frozenset(), list(results), [], [], [], frozenset())
    check_plan(run, "posts", audit, findings)
    return [f"{violation.subject}: {violation.message}" for violation in findings.violations]


def test_a_replay_has_its_own_last_stage_and_no_other() -> None:
    replay = replace(RUN, from_stage="loader")
    assert planned(replay, CRAWLED, PROCESSED, LOADED) == []
    (missing,) = planned(replay, CRAWLED, PROCESSED)
    assert missing == "batch 0 of r/posts at loader: it is neither done nor dead"
    (unasked,) = planned(replay, CRAWLED, PROCESSED, LOADED, replace(LOADED, stage="s3sink"))
    assert "at s3sink: it is done, and the run is a replay from loader alone" in unasked
    assert len(planned(RUN, CRAWLED, PROCESSED, LOADED)) == 2


def test_a_ledger_that_differs_from_a_manifest_names_what_differs() -> None:
    first, second = (
        File(f"s3://staging/runs/r/posts/crawler/{name}.requests.jsonl.zst", "requests.jsonl.zst", 1, 9, name)
        for name in ("first", "second")
    )
    dead = replace(CRAWLED, status="dead", reason="fetch", files=(first,))
    told = replace(dead, counts=(11, 0, 0, 0, 0, 0, 0, 0), files=(second,))
    documents = Documents(manifests={(dead.batch_id, "crawler"): Manifest("", told, 0)})
    findings = Findings()
    check_row_accounting(
        AuditRows({"r": RUN}, frozenset(), [dead], [], [], [], frozenset()), documents, findings
    )

    [violation] = findings.violations
    assert violation.message == (
        "the ledger differs from its manifest: read 10, not 11; "
        "files first.requests.jsonl.zst, not second.requests.jsonl.zst"
    )
