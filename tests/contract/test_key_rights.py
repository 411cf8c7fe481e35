"""Each process has the keys of the buckets that its work needs, and no others."""

from datetime import UTC, datetime
from fnmatch import fnmatchcase

import pytest

from shared.events.access import users
from shared.events.topology import STAGES, STAGES_IN_STAGING
from shared.storage import keys
from shared.storage.access import KEY_RIGHTS, OWN_FOLDERS, Action, Bucket

RUN, DATASET, BATCH, SHA256 = "nightly", "posts", "b" * 32, "a" * 64
AT = datetime(2026, 11, 24, tzinfo=UTC)

STAGING_OF_A_RUN = {
    "request": keys.request_key(RUN),
    "cancelled": keys.cancel_key(RUN),
    "plan": keys.plan_key(RUN, DATASET),
    "a piece of the plan": keys.plan_piece_key(RUN, DATASET, SHA256),
    "dataset": keys.dataset_key(RUN, DATASET),
    **{f"manifest of the {stage}": keys.manifest_key(RUN, DATASET, stage, BATCH) for stage in STAGES},
    **{f"file of the {stage}": keys.artifact_key(RUN, DATASET, stage, SHA256, "parquet") for stage in STAGES},
}
LAKE = {
    "object": keys.lake_key(DATASET, AT, "part-1"),
    "object of a partition": keys.partitioned_lake_key(DATASET, AT, "part-1", "country=de"),
    "export": keys.export_key(RUN, DATASET, "csv", "part-1", "csv.gz"),
    "listing of a run": keys.listing_key(RUN),
    "listing of a dataset": keys.dataset_listing_key(DATASET),
    "changes": keys.cdc_key("public.posts", AT, 0, 9),
}


def may(user: str, action: Action, bucket: Bucket, key: str) -> bool:
    return any(
        right.bucket == bucket
        and action in right.actions
        and fnmatchcase(key, right.keys)
        and not any(fnmatchcase(key, pattern) for pattern in right.but_not)
        for right in KEY_RIGHTS[user]
    )


def those(user: str, action: Action, bucket: Bucket) -> set[str]:
    named = STAGING_OF_A_RUN if bucket == "staging" else LAKE
    return {name for name, key in named.items() if may(user, action, bucket, key)}


def own(stage: str) -> set[str]:
    return {f"manifest of the {stage}", f"file of the {stage}"}


def test_who_has_keys_is_a_user_of_the_bus() -> None:
    assert set(KEY_RIGHTS) <= set(users())


@pytest.mark.parametrize(
    ("user", "written"),
    [
        ("crawler", {"request", "plan", "a piece of the plan", "dataset", *own("crawler")}),
        ("processor", own("processor")),
        ("converter", own("converter")),
        ("loader", own("loader")),
        ("s3sink", set()),
        ("quality", set()),
        ("lineage", set()),
        ("cdc", set()),
        ("console", {"cancelled"}),
    ],
)
def test_a_process_writes_its_own_part_of_staging(user: str, written: set[str]) -> None:
    assert those(user, "Write", "staging") == written


@pytest.mark.parametrize(
    ("user", "written"),
    [
        ("crawler", set()),
        ("processor", set()),
        ("converter", {"export"}),
        ("loader", set()),
        ("s3sink", {"object", "object of a partition"}),
        ("quality", {"object", "object of a partition", "listing of a run", "listing of a dataset"}),
        ("lineage", set()),
        ("cdc", {"changes"}),
        ("console", set()),
    ],
)
def test_a_process_writes_its_own_part_of_the_lake(user: str, written: set[str]) -> None:
    assert those(user, "Write", "lake") == written


def test_stages_delete_their_own_files_and_the_sweep_deletes_runs_and_objects() -> None:
    for stage in STAGES:
        assert those(stage, "Delete", "staging") == (own(stage) if stage in STAGES_IN_STAGING else set())
    assert those("quality", "Delete", "staging") == set(STAGING_OF_A_RUN)
    assert those("quality", "Delete", "lake") == {"object", "object of a partition", "export"}
    assert {user for user in KEY_RIGHTS if those(user, "Delete", "lake")} == {"quality", "operator"}


def test_changes_are_written_by_their_sink_alone_and_deleted_by_nobody() -> None:
    changes = LAKE["changes"]

    assert {user for user in KEY_RIGHTS if may(user, "Write", "lake", changes)} == {"cdc"}
    assert {user for user in KEY_RIGHTS if may(user, "Delete", "lake", changes)} == set()


def test_versions_of_columns_are_written_by_the_processor_alone() -> None:
    columns = keys.columns_key(DATASET, 1)

    assert {user for user in KEY_RIGHTS if may(user, "Write", "staging", columns)} == {"processor"}


def test_the_folders_of_the_lake_that_are_no_dataset_are_those_of_its_keys() -> None:
    no_objects = {LAKE[name] for name in ("export", "listing of a run", "listing of a dataset", "changes")}

    assert {f"{key.partition('/')[0]}/*" for key in no_objects} == set(OWN_FOLDERS)
