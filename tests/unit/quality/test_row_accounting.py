"""Row accounting and the verdict, for runs of every fate."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.quality.domain.row_accounting import (
    AbsentColumn,
    Cause,
    DatasetPlan,
    Files,
    PartlyConverted,
    Rejections,
    Remark,
    RunFacts,
    StageTotals,
    format_label,
    mismatches,
    summarize,
)
from services.quality.domain.verdict import MAX_REASON_CHARS, Terms, complete, decide, failed_completion
from shared.events.decode import MAX_EVENT_BYTES, encode
from shared.events.models import CheckResult, DatasetSummary, DeadBatch, MissingRecords, RunCompleted
from shared.events.names import Severity

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ROWS = st.integers(0, 1000)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=4000)


@dataclass(frozen=True)
class Batch:
    accepted: int
    rejected: int
    deduplicated: int
    superseded_share: float
    dead_at: frozenset[str]

    @property
    def rows(self) -> int:
        return self.accepted + self.rejected + self.deduplicated

    def totals(self, dataset: str) -> list[StageTotals]:
        if "crawler" in self.dead_at:
            return [StageTotals(dataset, "crawler", "dead", self.rows)]
        crawled = StageTotals(dataset, "crawler", "done", self.rows)
        if "processor" in self.dead_at:
            return [crawled, StageTotals(dataset, "processor", "dead", self.rows)]
        superseded = int(self.accepted * self.superseded_share)
        results = [
            StageTotals(
                dataset,
                "loader",
                "done",
                self.accepted,
                loaded=self.accepted - superseded,
                superseded=superseded,
            ),
            StageTotals(dataset, "s3sink", "done", self.accepted, accepted=self.accepted),
            StageTotals(dataset, "converter", "done", self.accepted, accepted=self.accepted),
        ]
        return [
            crawled,
            StageTotals(
                dataset, "processor", "done", self.rows, self.accepted, self.rejected, self.deduplicated
            ),
            *(
                StageTotals(dataset, result.stage, "dead", self.accepted)
                if result.stage in self.dead_at
                else result
                for result in results
            ),
        ]


BATCHES = st.builds(
    Batch,
    ROWS,
    ROWS,
    ROWS,
    st.floats(0, 1),
    st.frozensets(st.sampled_from(["crawler", "processor", "converter", "loader", "s3sink"])),
)
RUNS = st.dictionaries(st.sampled_from(["posts", "users", "comments"]), st.lists(BATCHES, max_size=5))


def facts_of(run: dict[str, list[Batch]], **more: object) -> RunFacts:
    dead = {name: sum(bool(batch.dead_at) for batch in batches) for name, batches in run.items()}
    facts = RunFacts(
        run_id="r",
        requested_at=NOON,
        started_at=NOON,
        refused=None,
        plans={name: DatasetPlan(len(batches), None) for name, batches in run.items()},
        totals=tuple(
            total for name, batches in run.items() for batch in batches for total in batch.totals(name)
        ),
        files=(),
        dead_batches=dead,
        cancelled=False,
        dead=(),
        dead_total=0,
        missing=(),
        missing_total=0,
    )
    return replace(facts, **more)  # type: ignore[arg-type]  # the caller names fields of RunFacts


def healthy(rows: int = 100, rejected: int = 0) -> Batch:
    return Batch(rows - rejected, rejected, 0, 0.0, frozenset())


def verdict(
    facts: RunFacts,
    *checks: CheckResult,
    max_rejected_ratio: float = 0.01,
    max_missing_ratio: float = 0,
) -> tuple[str, str | None]:
    terms = dict.fromkeys(facts.plans, Terms(max_rejected_ratio, max_missing_ratio))
    found = decide(facts, summarize(facts), checks, terms)
    return found.status, found.reason


def check(*, passed: bool, severity: Severity = "error", value: int | str = 3) -> CheckResult:
    return CheckResult(
        dataset="posts", name="unique(id)", severity=severity, passed=passed, value=value, expected={"max": 0}
    )


@given(RUNS)
def test_whatever_happens_to_the_batches_the_row_counts_match(run: dict[str, list[Batch]]) -> None:
    summaries = summarize(facts_of(run))
    assert mismatches(summaries) == []
    for name, batches in run.items():
        assert summaries[name].rows_crawled == sum(batch.rows for batch in batches)
        assert summaries[name].batches == len(batches)


@given(
    RUNS.filter(bool),
    st.sampled_from(["rows_crawled", "rows_accepted", "rows_rejected", "rows_loaded", "rows_stored"]),
    st.integers(1, 1000),
)
def test_a_row_too_many_or_too_few_is_noticed_by_name(
    run: dict[str, list[Batch]], column: str, more: int
) -> None:
    summaries = summarize(facts_of(run))
    name = next(iter(summaries))
    broken = summaries[name].model_copy(update={column: getattr(summaries[name], column) + more})
    found = mismatches({**summaries, name: broken})
    assert found
    assert all(f"the row counts of {name} do not match" in sentence for sentence in found)


@given(RUNS, st.floats(0, 1))
def test_a_run_succeeds_only_if_nothing_was_lost(
    run: dict[str, list[Batch]], max_rejected_ratio: float
) -> None:
    status, reason = verdict(facts_of(run), max_rejected_ratio=max_rejected_ratio)
    any_dead = any(batch.dead_at for batches in run.values() for batch in batches)
    assert (status == "succeeded") == (reason is None)
    if status == "succeeded":
        assert not any_dead
    if any_dead:
        assert status in {"partial", "failed"}


def test_the_row_counts_of_an_empty_source_are_zeros_and_a_success() -> None:
    facts = facts_of({"posts": []})
    assert summarize(facts) == {"posts": DatasetSummary()}
    assert verdict(facts) == ("succeeded", None)


def test_objects_are_counted_once_and_exports_under_the_format_that_was_asked_for() -> None:
    files = (
        Files("posts", "s3sink", "parquet", 2, 500),
        Files("posts", "converter", "csv.gz", 3, 70),
        Files("posts", "converter", "parquet", 3, 90),
        Files("users", "converter", "xlsx", 1, 10),
    )
    summaries = summarize(facts_of({"posts": [], "users": []}, files=files))
    assert (summaries["posts"].objects_stored, summaries["posts"].bytes_stored) == (2, 500)
    assert summaries["posts"].exports == {"csv": 3, "parquet": 3}
    assert summaries["users"].exports == {"xlsx": 1}
    assert format_label("json.gz") == "json"


def test_cancelled_comes_before_everything() -> None:
    assert verdict(facts_of({"posts": []}, cancelled=True, refused="no")) == (
        "cancelled",
        "the run was cancelled",
    )


def test_a_refused_run_failed_for_that_alone() -> None:
    assert verdict(facts_of({}, refused="there is no dataset x")) == (
        "failed",
        "refused: there is no dataset x",
    )


def test_a_failed_check_fails_the_run_and_a_warning_does_not() -> None:
    facts = facts_of({"posts": [healthy()]})
    assert verdict(facts, check(passed=False)) == ("failed", "check unique(id) on posts failed: 3, at most 0")
    assert verdict(facts, check(passed=False, severity="warn")) == ("succeeded", None)
    assert verdict(facts, check(passed=False, value="no table")) == (
        "failed",
        "check unique(id) on posts could not run: no table",
    )


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        (
            [replace(healthy(), dead_at=frozenset({"crawler"}))],
            "posts: 1 batch is dead; posts: 100 of 100 rows rejected (100 %, at most 1 %)",
        ),
        ([Batch(0, 50, 0, 0, frozenset())], "posts: 50 of 50 rows rejected (100 %, at most 1 %)"),
        ([replace(healthy(), dead_at=frozenset({"loader", "s3sink"}))] * 2, "posts: 2 batches are dead"),
    ],
)
def test_a_run_of_which_nothing_arrived_failed_and_the_cause_comes_first(
    batches: list[Batch], expected: str
) -> None:
    assert verdict(facts_of({"posts": batches})) == ("failed", f"{expected}; nothing could be delivered")


def test_rows_that_were_all_refused_within_the_bound_are_told_all_the_same() -> None:
    facts = facts_of(
        {"posts": [Batch(0, 3, 0, 0, frozenset())]}, rejections=(Rejections("posts", "type", 3),)
    )
    assert verdict(facts, max_rejected_ratio=1) == (
        "failed",
        "posts: 3 of 3 rows rejected: 3 of a wrong type (type); nothing could be delivered",
    )


def test_a_source_that_promised_rows_and_gave_none_failed() -> None:
    assert verdict(facts_of({"posts": []}, plans={"posts": DatasetPlan(0, 30)})) == (
        "failed",
        "posts: 0 of 30 promised records came; nothing could be delivered",
    )


@pytest.mark.parametrize(
    ("promised", "ratio", "status"),
    [
        (None, 0, "succeeded"),
        (100, 0, "succeeded"),
        (99, 0, "succeeded"),
        (101, 0, "partial"),
        (125, 0.2, "succeeded"),
        (126, 0.2, "partial"),
        (10**18, 0.999, "partial"),
    ],
)
def test_fewer_records_than_promised_make_a_run_partial_unless_the_file_allows_it(
    promised: int | None, ratio: float, status: str
) -> None:
    facts = facts_of({"posts": [healthy(60), healthy(40)]}, plans={"posts": DatasetPlan(2, promised)})
    assert summarize(facts)["posts"].rows_promised == promised
    found, reason = verdict(facts, max_missing_ratio=ratio)
    assert (found, reason) == (
        status,
        None if status == "succeeded" else f"posts: 100 of {promised} promised records came",
    )


def test_a_record_that_came_twice_counts_once_against_what_was_promised() -> None:
    facts = facts_of({"posts": [healthy()]}, plans={"posts": DatasetPlan(1, 100)})
    again = tuple(
        replace(total, repeated=1) if total.stage in {"loader", "processor"} else total
        for total in facts.totals
    )
    assert verdict(replace(facts, totals=again)) == (
        "partial",
        "posts: 98 of 100 promised records came",
    )


def test_what_postgresql_refused_is_not_loaded_and_makes_a_run_partial() -> None:
    facts = facts_of({"posts": [healthy()]})
    totals = tuple(
        replace(total, loaded=99, rejected=1) if total.stage == "loader" else total for total in facts.totals
    )
    facts = replace(facts, totals=totals)
    assert summarize(facts)["posts"].rows_not_loaded == 1
    assert verdict(facts) == ("partial", "posts: PostgreSQL refused 1 row")


def test_a_column_that_no_record_has_is_a_warning_with_the_nearest_field() -> None:
    facts = facts_of(
        {"posts": [healthy()]},
        absent=(
            AbsentColumn("posts", "name", ("id2", "name", "zip")),
            AbsentColumn("posts", "city", ("zip",)),
            AbsentColumn("posts", "day", ("date", '"\\ufeffday"')),
        ),
    )
    completed = complete(facts, [], {"posts": Terms(fields={"name": "naem"})}, NOON)
    assert completed.status == "succeeded"
    assert completed.warnings == (
        "posts: no record has the field naem, so the column name is null; the nearest that they have is name",
        "posts: no record has the field city, so the column city is null",
        'posts: no record has the field day, so the column day is null; the nearest that they have is "\\ufeffday"',
    )


def test_a_key_that_no_record_has_is_the_cause_and_a_warning() -> None:
    facts = facts_of(
        {"posts": [Batch(0, 5, 0, 0, frozenset())]},
        rejections=(Rejections("posts", "no_key", 5),),
        absent=(AbsentColumn("posts", "id", ("nummber",)),),
    )
    completed = complete(facts, [], {"posts": Terms(fields={"id": "nummer"}, key=("id",))}, NOON)
    absence = "no record has the field nummer, which the key id needs; the nearest that they have is nummber"
    assert completed.reason == (
        f"posts: {absence}; 5 of 5 rows rejected: 5 without a key (no_key) (100 %, at most 1 %); "
        "nothing could be delivered"
    )
    assert completed.warnings == (f"posts: {absence}",)


def test_more_records_than_promised_are_a_warning() -> None:
    facts = facts_of({"posts": [healthy(30)]}, plans={"posts": DatasetPlan(1, 20)})
    completed = complete(facts, [], {"posts": Terms()}, NOON)
    assert (completed.status, completed.warnings) == (
        "succeeded",
        ("posts: the source promised 20 records, and 30 came",),
    )


def test_what_the_crawler_remarks_is_a_warning() -> None:
    facts = facts_of({"posts": [healthy()]}, remarks=(Remark("posts", "0 records: the answer is null"),))
    completed = complete(facts, [], {"posts": Terms()}, NOON)
    assert (completed.status, completed.warnings) == ("succeeded", ("posts: 0 records: the answer is null",))


def test_reasons_stand_in_the_summary() -> None:
    rejections = (
        Rejections("posts", "no_key", 2),
        Rejections("posts", "type", 1),
        Rejections("users", "nul", 9),
    )
    facts = facts_of({"posts": [healthy(10, rejected=3)]}, rejections=rejections)
    assert summarize(facts)["posts"].rejected_by_reason == {"no_key": 2, "type": 1}
    assert verdict(facts) == (
        "partial",
        "posts: 3 of 10 rows rejected: 2 without a key (no_key), 1 of a wrong type (type) (30 %, at most 1 %)",
    )


def test_what_arrived_at_one_end_is_delivered() -> None:
    batch = replace(healthy(), dead_at=frozenset({"loader", "converter"}))
    assert verdict(facts_of({"posts": [batch]})) == ("partial", "posts: 1 batch is dead")
    superseded = replace(healthy(), superseded_share=1.0, dead_at=frozenset({"s3sink"}))
    assert verdict(facts_of({"posts": [superseded]}))[0] == "partial"


CUT_SHORT = "page 4 and all after it are missing: the source answers HTTP 500"


def test_a_missing_page_makes_a_run_partial() -> None:
    run = {"posts": [healthy()]}
    page = MissingRecords(dataset="posts", url="http://a/1", reason=CUT_SHORT)
    assert verdict(facts_of(run, missing=(page,), missing_total=1, missing_pages={"posts": 1})) == (
        "partial",
        f"posts: {CUT_SHORT} (http://a/1)",
    )
    three = facts_of(run, missing=(page,) * 3, missing_total=3, missing_pages={"posts": 3})
    assert verdict(three) == (
        "partial",
        f"posts: 3 pages are missing, the first: {CUT_SHORT} (http://a/1)",
    )


def test_a_page_that_failed_is_told_once() -> None:
    """Its batch is dead, and fewer records came than were promised: all for one cause."""
    page = MissingRecords(dataset="posts", url="http://a/1", reason="the source answers HTTP 401")
    facts = facts_of(
        {"posts": [Batch(0, 0, 0, 0, frozenset({"crawler"}))]},
        plans={"posts": DatasetPlan(1, 7)},
        missing=(page,),
        missing_total=1,
        missing_pages={"posts": 1},
        causes={"posts": Cause("crawler", "fetch", "every request failed (1)")},
    )
    assert verdict(facts) == (
        "failed",
        (
            "posts: the source answers HTTP 401 (http://a/1), 0 of 7 promised records came; "
            "nothing could be delivered"
        ),
    )


def test_a_dead_batch_is_told_with_its_stage_and_the_words_for_it() -> None:
    batch = replace(healthy(), dead_at=frozenset({"loader"}))
    facts = facts_of({"posts": [batch] * 2}, causes={"posts": Cause("loader", "schema", "no column x")})
    assert verdict(facts) == ("partial", "posts: 2 batches are dead, the first at the loader: no column x")


def test_the_rejected_share_may_reach_its_bound_but_not_pass_it() -> None:
    assert (
        verdict(facts_of({"posts": [healthy(100, rejected=29)]}), max_rejected_ratio=0.29)[0] == "succeeded"
    )
    assert verdict(facts_of({"posts": [healthy(500, rejected=21)]})) == (
        "partial",
        "posts: 21 of 500 rows rejected (4.2 %, at most 1 %)",
    )


def exported(facts: RunFacts, formats: dict[str, tuple[str, ...]]) -> tuple[str, str | None]:
    terms = {name: Terms(1.0, formats=formats.get(name, ())) for name in facts.plans}
    found = decide(facts, summarize(facts), [], terms)
    return found.status, found.reason


def test_a_format_that_failed_makes_a_run_partial_by_its_name() -> None:
    run = {"posts": [healthy()] * 3, "users": [healthy()]}
    partly = (
        PartlyConverted("posts", ("parquet",), 1),
        PartlyConverted("posts", (), 1),
        PartlyConverted("users", ("csv.gz",), 1),
    )
    facts = facts_of(run, partly_converted=partly)
    status, reason = exported(facts, {"posts": ("csv", "parquet"), "users": ("csv", "parquet")})
    assert status == "partial"
    assert (reason or "").split("; ") == [
        "posts: csv could not be written for 2 of 3 batches",
        "posts: parquet could not be written for 1 of 3 batches",
        "users: parquet could not be written for 1 of 1 batch",
    ]
    # The formats of the request count, not those of the dataset's file.
    assert exported(replace(facts, formats=("csv",)), {})[1] == (
        "posts: csv could not be written for 2 of 3 batches; "
        "users: an export could not be written for 1 of 1 batch"
    )


def test_a_failed_format_is_certain_even_where_its_name_is_not() -> None:
    facts = facts_of({"posts": [healthy()]}, partly_converted=(PartlyConverted("posts", ("parquet",), 1),))
    assert exported(facts, {}) == ("partial", "posts: an export could not be written for 1 of 1 batch")


@given(TEXTS | st.text(max_size=5000))
def test_a_completion_that_failed_has_a_reason_that_every_consumer_can_store(cause: str) -> None:
    completed = failed_completion(
        complete(facts_of({"posts": [healthy()]}), [], {"posts": Terms()}, NOON), cause
    )
    assert completed.status == "failed"
    assert completed.reason is not None
    assert completed.reason.startswith("the run could not be completed: ")
    assert "\x00" not in completed.reason
    assert len(completed.reason) <= MAX_REASON_CHARS
    assert RunCompleted.model_validate_json(encode(completed)) == completed


def test_row_counts_that_do_not_match_fail_a_run_by_name() -> None:
    facts = facts_of({"posts": [healthy()]})
    lost = tuple(total for total in facts.totals if total.stage != "loader")
    assert verdict(replace(facts, totals=lost)) == (
        "failed",
        "the row counts of posts do not match: 100 rows accepted, 0 loaded + 0 superseded + 0 not loaded",
    )


def test_a_long_reason_is_cut_with_a_note() -> None:
    names = [f"dataset_{number}" for number in range(30)]
    status, reason = verdict(facts_of({name: [healthy(100, rejected=50)] for name in names}))
    assert status == "partial"
    assert reason is not None
    assert reason.endswith("and 20 more")


@given(st.lists(TEXTS, max_size=500), st.integers(0, 600), TEXTS)
def test_the_event_fits_whatever_is_missing_or_dead(urls: list[str], dead: int, refused: str) -> None:
    facts = facts_of(
        {"posts": [healthy()]},
        refused=refused,
        missing=tuple(MissingRecords(dataset="posts", url=url, reason=url) for url in urls),
        missing_total=len(urls),
        dead=(DeadBatch(dataset="posts", batch_id="0" * 32, stage="loader", reason="handler"),)
        * min(dead, 500),
        dead_total=dead,
    )
    completed = complete(facts, [], {"posts": Terms()}, NOON)
    assert len(encode(completed)) <= MAX_EVENT_BYTES
    assert RunCompleted.model_validate_json(encode(completed)) == completed
    listed = len(completed.missing) + len(completed.dead)
    assert ("not listed" in (completed.reason or "")) == (listed < len(urls) + dead)


def transformed(*, accepted: int, filtered: int, added: int) -> RunFacts:
    """100 crawled rows of a dataset with a transform."""
    facts = facts_of({"things": [healthy(100)]})
    totals = [
        StageTotals("things", "crawler", "done", 100),
        StageTotals("things", "processor", "done", 100, accepted=accepted, filtered=filtered, added=added),
        StageTotals("things", "loader", "done", accepted, loaded=accepted),
        StageTotals("things", "s3sink", "done", accepted, accepted=accepted),
    ]
    return replace(facts, totals=tuple(totals))


@pytest.mark.parametrize(("accepted", "filtered", "added"), [(60, 40, 0), (300, 0, 200), (150, 50, 100)])
def test_what_a_transform_filters_and_adds_is_in_the_books(accepted: int, filtered: int, added: int) -> None:
    facts = transformed(accepted=accepted, filtered=filtered, added=added)
    summary = summarize(facts)["things"]
    assert (summary.rows_filtered, summary.rows_added) == (filtered, added)
    assert mismatches({"things": summary}) == []
    assert decide(facts, {"things": summary}, [], {}).status == "succeeded"


def test_a_run_whose_transform_filters_everything_succeeds() -> None:
    facts = transformed(accepted=0, filtered=100, added=0)
    assert decide(facts, summarize(facts), [], {}).status == "succeeded"


def test_a_row_that_a_transform_lost_is_noticed() -> None:
    [sentence] = mismatches(summarize(transformed(accepted=149, filtered=50, added=100)))
    assert "100 rows crawled + 100 added, 149 accepted" in sentence
    assert sentence.endswith("+ 50 filtered")
