"""What may go and what never does, for runs and objects of any age."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.events import ids
from shared.storage import keys
from shared.sweep.rules import (
    KINDS,
    ArtifactKey,
    ExportKey,
    LakeKey,
    Limits,
    Run,
    SweepReport,
    artifact_key,
    export_key,
    hour_of,
    is_expired,
    is_lake_object_safe,
    lake_key,
    listed_uris,
    may_be_orphaned,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LIMITS = Limits()
SHA256 = "ab" * 32
BATCH = ids.batch_id("r", "posts", 0)

RUN_IDS = st.from_regex(ids.RUN_ID_PATTERN, fullmatch=True)
DATASETS = st.from_regex(ids.DATASET_PATTERN, fullmatch=True)
STAGES = st.sampled_from(["crawler", "processor", "converter", "loader", "s3sink"])
EXTENSIONS = st.sampled_from(["parquet", "jsonl.zst", "requests.jsonl.zst", "quarantine.jsonl.zst"])
MOMENTS = st.timedeltas(timedelta(days=-60), timedelta(days=60)).map(lambda since: NOW + since)
RUNS = st.builds(
    Run,
    run_id=st.just("r"),
    requested_at=MOMENTS,
    ended_at=st.none() | MOMENTS,
    dead_datasets=st.frozensets(st.sampled_from(["posts", "users"])),
)


@given(RUN_IDS, DATASETS, STAGES, EXTENSIONS)
def test_an_artifact_is_known_by_its_key_and_nothing_else_in_staging_is(
    run_id: str, dataset: str, stage: str, extension: str
) -> None:
    key = keys.artifact_key(run_id, dataset, stage, SHA256, extension)
    assert artifact_key(key) == ArtifactKey(run_id, dataset, stage)
    for other in (
        keys.manifest_key(run_id, dataset, stage, BATCH),
        keys.plan_key(run_id, dataset),
        keys.dataset_key(run_id, dataset),
        keys.columns_key(dataset, 2),
        keys.request_key(run_id),
        keys.cancel_key(run_id),
        f"{key}/more",
        f"other/{key}",
        f"{keys.dataset_prefix(run_id, dataset)}{stage}/notes.txt",
    ):
        assert artifact_key(other) is None


@given(DATASETS, MOMENTS, RUN_IDS)
def test_a_lake_object_tells_its_partition_and_an_export_its_run(
    dataset: str, moment: datetime, run_id: str
) -> None:
    assert lake_key(keys.lake_key(dataset, moment, BATCH)) == LakeKey(dataset, hour_of(moment))
    export = keys.export_key(run_id, dataset, "csv", "000000-0123456789abcdef", "csv.gz")
    assert export_key(export) == ExportKey(run_id, dataset)
    assert lake_key(export) is None
    combined = keys.combined_key(run_id, dataset, "csv", f"{dataset}-0001-0123456789abcdef", "csv.gz")
    assert (export_key(combined), lake_key(combined)) == (ExportKey(run_id, dataset, is_combined=True), None)
    manifest = keys.combined_key(run_id, dataset, "csv", "manifest", "json")
    assert (export_key(manifest), export_key(f"{combined}/more")) == (None, None)


@pytest.mark.parametrize(
    "key",
    [
        "cdc/posts/2026/11/23/06/0.parquet",
        keys.listing_key("r"),
        f"posts/year=2026/month=13/day=01/hour=00/{BATCH}.parquet",
        f"posts/year=2026/month=11/day=23/hour=06/{BATCH}.parquet.part",
        "posts/year=2026/month=11/day=23/hour=06/mine.parquet",
        "posts/mine.parquet",
        "mine",
    ],
)
def test_foreign_objects_in_the_lake_are_not_onpoint_s(key: str) -> None:
    assert lake_key(key) is None
    assert export_key(key) is None


@given(MOMENTS, MOMENTS, RUNS)
def test_nothing_of_a_run_that_goes_on_or_is_unknown_ever_goes(
    modified: datetime, now: datetime, run: Run
) -> None:
    for open_run in (None, Run(run.run_id, run.requested_at, None, run.dead_datasets)):
        assert not is_expired(open_run, modified, LIMITS, now)
        assert not may_be_orphaned(open_run, modified, LIMITS, now)


@given(RUNS, MOMENTS, MOMENTS)
def test_an_artifact_goes_a_ttl_after_the_end_of_its_run_and_never_before(
    run: Run, modified: datetime, now: datetime
) -> None:
    expired = is_expired(run, modified, LIMITS, now)
    since_the_end = None if run.ended_at is None else now - max(run.ended_at, modified)
    assert expired == (since_the_end is not None and since_the_end >= LIMITS.ttl)


@given(RUNS, MOMENTS, MOMENTS, st.timedeltas(timedelta(0), timedelta(days=30)))
def test_what_may_go_now_may_go_later_too(
    run: Run, modified: datetime, now: datetime, more: timedelta
) -> None:
    assert is_expired(run, modified, LIMITS, now + more) >= is_expired(run, modified, LIMITS, now)
    assert may_be_orphaned(run, modified, LIMITS, now + more) >= may_be_orphaned(run, modified, LIMITS, now)


@given(st.lists(RUNS, max_size=5), MOMENTS, st.sampled_from(["posts", "users", "comments"]))
def test_a_lake_object_stays_while_a_run_of_its_hour_may_come_to_name_it(
    runs: list[Run], now: datetime, dataset: str
) -> None:
    place = LakeKey(dataset, hour_of(runs[0].requested_at) if runs else hour_of(now))
    may_come = [
        run
        for run in runs
        if hour_of(run.requested_at) == place.hour
        and (run.ended_at is None or (dataset in run.dead_datasets and now - run.ended_at < LIMITS.ttl))
    ]
    assert is_lake_object_safe(place, runs, LIMITS, now) == bool(may_come)


def test_an_artifact_that_a_replayed_dead_letter_wrote_has_a_ttl_of_its_own() -> None:
    run = Run("r", NOW - timedelta(days=30), NOW - timedelta(days=29))
    assert is_expired(run, NOW - timedelta(days=29), LIMITS, NOW)
    assert not is_expired(run, NOW - timedelta(hours=1), LIMITS, NOW)


def test_a_ttl_of_nothing_takes_every_artifact_of_an_ended_run() -> None:
    run = Run("r", NOW - timedelta(minutes=2), NOW - timedelta(minutes=1))
    assert is_expired(run, NOW - timedelta(minutes=2), Limits(ttl=timedelta(0)), NOW)


def test_a_listing_names_its_objects_and_its_exports() -> None:
    posts = {"objects": [{"uri": "s3://lake/a"}], "exports": [{"uri": "s3://lake/b", "format": "csv"}]}
    assert listed_uris({"datasets": {"posts": posts, "users": {"objects": [], "exports": []}}}) == {
        "s3://lake/a",
        "s3://lake/b",
    }


@pytest.mark.parametrize(
    "document", [None, [], {}, {"datasets": []}, {"datasets": {"posts": {}}}, {"datasets": {"a": 1}}]
)
def test_what_is_not_a_listing_is_refused_as_one(document: object) -> None:
    with pytest.raises(ValueError, match="not a listing"):
        listed_uris(document)


def test_a_report_adds_up() -> None:
    report = SweepReport(dry_run=True)
    for number, kind in enumerate(KINDS, start=1):
        report.removed[kind].count += number
        report.removed[kind].bytes += 10 * number
    told = report.as_dict()
    assert told["artifacts"] == {"count": 1, "bytes": 10}
    assert told["total"] == {"count": 21, "bytes": 210}
    assert told["dry_run"] is True
    assert set(told) == {"dry_run", *KINDS, "total", "complaints"}
