"""Each service account has a role of its own, with rights to keys of the buckets and to nothing else."""

import re

import pytest

from deploy.terraform.s3_rights import accounts
from shared.events.topology import SERVICES, STAGES
from tests.terraform.plan import Plan, statements
from tests.terraform.rights import allows, policies_of

pytestmark = [pytest.mark.terraform, pytest.mark.timeout(600)]

LAKE = "arn:aws:s3:::onpoint-dev-lake-123456789012"
STAGING = "arn:aws:s3:::onpoint-dev-staging-123456789012"
PUT, GET, DELETE, LIST = "s3:PutObject", "s3:GetObject", "s3:DeleteObject", "s3:ListBucket"


def test_every_service_has_a_role(dev: Plan) -> None:
    assert set(SERVICES) < policies_of(dev).keys() == accounts().keys()


def test_no_policy_has_an_action_or_a_bucket_of_all(dev: Plan, prod: Plan) -> None:
    for plan in (dev, prod):
        for account, granted in policies_of(plan).items():
            for statement in granted:
                assert all(re.fullmatch(r"s3:[A-Z]\w+", action) for action in statement["Action"]), account
                assert all(arn.startswith("arn:aws:s3:::onpoint-") for arn in statement["Resource"]), account


def test_no_role_removes_a_version_or_changes_a_bucket(dev: Plan) -> None:
    """What a service deletes can be brought back for as long as versions are kept."""
    for granted in policies_of(dev).values():
        for action in (
            "s3:DeleteObjectVersion",
            "s3:PutBucketPolicy",
            "s3:PutLifecycleConfiguration",
            "s3:DeleteBucket",
        ):
            assert not allows(granted, action, LAKE)
            assert not allows(granted, action, f"{LAKE}/posts/x.parquet")


@pytest.mark.parametrize("service", STAGES)
def test_a_stage_writes_its_own_folder_of_staging(dev: Plan, service: str) -> None:
    granted = policies_of(dev)[service]
    for stage in STAGES:
        allowed = allows(granted, PUT, f"{STAGING}/runs/r/posts/{stage}/b.json")
        # The sink's are in its own tables.
        assert allowed == (stage == service != "s3sink")


@pytest.mark.parametrize(
    ("service", "key"),
    [
        ("crawler", "posts/year=2026/x.parquet"),
        ("processor", "posts/year=2026/x.parquet"),
        ("loader", "posts/year=2026/x.parquet"),
        ("converter", "posts/year=2026/x.parquet"),
        ("converter", "_runs/r.json"),
        ("s3sink", "_runs/r.json"),
        ("s3sink", "_datasets/posts.json"),
        ("s3sink", "exports/r/posts/csv/x.csv"),
        ("s3sink", "cdc/onpoint_posts/x.parquet"),
        ("s3sink-cdc", "posts/year=2026/x.parquet"),
        ("quality", "exports/r/posts/csv/x.csv"),
        ("quality", "cdc/onpoint_posts/x.parquet"),
        ("console", "cdc/onpoint_posts/x.parquet"),
        ("dask-worker", "posts/year=2026/x.parquet"),
        ("quality-lineage", "posts/year=2026/x.parquet"),
    ],
)
def test_a_service_does_not_write_what_is_anothers(dev: Plan, service: str, key: str) -> None:
    assert not allows(policies_of(dev)[service], PUT, f"{LAKE}/{key}")


@pytest.mark.parametrize(
    ("service", "key"),
    [
        ("converter", "exports/r/posts/csv/x.csv"),
        ("s3sink", "posts/year=2026/x.parquet"),
        ("s3sink-cdc", "cdc/onpoint_posts/2026/11/29/00/0-9.parquet"),
        ("quality", "_runs/r.json"),
        ("quality", "_datasets/posts.json"),
        ("quality", "posts/year=2026/compacted.parquet"),
        ("console", "posts/year=2026/compacted.parquet"),
    ],
)
def test_a_service_writes_what_is_its_own(dev: Plan, service: str, key: str) -> None:
    assert allows(policies_of(dev)[service], PUT, f"{LAKE}/{key}")


def test_the_sweep_deletes_and_keeps_the_listings_and_the_changes(dev: Plan) -> None:
    quality = policies_of(dev)["quality"]
    for key in ("exports/r/posts/csv/x.csv", "posts/year=2026/x.parquet"):
        assert allows(quality, DELETE, f"{LAKE}/{key}")
    for key in ("_runs/r.json", "_datasets/posts.json", "cdc/onpoint_posts/x.parquet"):
        assert not allows(quality, DELETE, f"{LAKE}/{key}")
    assert not allows(quality, DELETE, f"{STAGING}/schemas/posts/000001.json")


def test_only_quality_and_the_operators_end_the_uploads_of_others(dev: Plan) -> None:
    found = {
        account
        for account, granted in policies_of(dev).items()
        if allows(granted, "s3:ListBucketMultipartUploads", STAGING)
    }
    assert found == {"quality", "console"}


def test_quality_alone_sends_figures_and_to_one_namespace(dev: Plan) -> None:
    [statement] = statements(dev.one("module.access.aws_iam_role_policy.figures")["policy"])
    assert statement["Action"] == ["cloudwatch:PutMetricData"]
    assert statement["Condition"] == {"StringEquals": {"cloudwatch:namespace": "OnPoint/DataPipeline"}}
