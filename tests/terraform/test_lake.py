"""The buckets: encrypted, versioned, closed, and cheaper with age."""

import json
from typing import Any

import pytest

from shared.settings.model import load_settings
from shared.sweep.settings import SweepSettings
from tests.terraform.plan import Plan, statements

pytestmark = [pytest.mark.terraform, pytest.mark.timeout(600)]

ACCOUNT = "123456789012"
BUCKETS = ("lake", "staging", "access_logs")


@pytest.fixture(params=["dev", "prod"])
def plan(request: pytest.FixtureRequest) -> Plan:
    found: Plan = request.getfixturevalue(request.param)
    return found


def rules(plan: Plan, bucket: str) -> dict[str, dict[str, Any]]:
    lifecycle = plan.one(f"module.lake.aws_s3_bucket_lifecycle_configuration.{bucket}")
    return {rule["id"]: rule for rule in lifecycle["rule"]}


def prefixes(plan: Plan, bucket: str) -> set[str]:
    return {found["prefix"] for rule in rules(plan, bucket).values() for found in rule["filter"]}


@pytest.mark.parametrize("bucket", BUCKETS)
def test_a_bucket_is_closed_to_the_public(plan: Plan, bucket: str) -> None:
    block = plan.one(f"module.lake.module.{bucket}.aws_s3_bucket_public_access_block.this")
    assert {name for name, value in block.items() if value is True} == {
        "block_public_acls",
        "block_public_policy",
        "ignore_public_acls",
        "restrict_public_buckets",
    }
    [owner] = plan.one(f"module.lake.module.{bucket}.aws_s3_bucket_ownership_controls.this")["rule"]
    assert owner["object_ownership"] == "BucketOwnerEnforced"


@pytest.mark.parametrize("bucket", BUCKETS)
def test_a_bucket_keeps_versions(plan: Plan, bucket: str) -> None:
    [versioning] = plan.one(f"module.lake.module.{bucket}.aws_s3_bucket_versioning.this")[
        "versioning_configuration"
    ]
    assert versioning["status"] == "Enabled"


@pytest.mark.parametrize(
    ("bucket", "algorithm"), [("lake", "aws:kms"), ("staging", "aws:kms"), ("access_logs", "AES256")]
)
def test_a_bucket_is_encrypted(plan: Plan, bucket: str, algorithm: str) -> None:
    """Access logs by S3's own keys: it writes them into no other bucket."""
    address = f"module.lake.module.{bucket}.aws_s3_bucket_server_side_encryption_configuration.this"
    [rule] = plan.one(address)["rule"]
    [default] = rule["apply_server_side_encryption_by_default"]
    assert default["sse_algorithm"] == algorithm


@pytest.mark.parametrize("bucket", BUCKETS)
def test_no_one_comes_without_tls(plan: Plan, bucket: str) -> None:
    policy = plan.one(f"module.lake.module.{bucket}.aws_s3_bucket_policy.this")["policy"]
    denied = [statement for statement in statements(policy) if statement["Effect"] == "Deny"]
    name = f"arn:aws:s3:::{plan.one(f'module.lake.module.{bucket}.aws_s3_bucket.this')['bucket']}"
    for statement in denied:
        assert statement["Action"] == ["s3:*"]
        assert sorted(statement["Resource"]) == [name, f"{name}/*"]
        assert statement["Principal"] == {"AWS": "*"}
    assert [statement["Condition"] for statement in denied] == [
        {"Bool": {"aws:SecureTransport": "false"}},
        {"NumericLessThan": {"s3:TlsVersion": "1.2"}},
    ]


def test_a_policy_allows_nothing_but_access_logs(plan: Plan) -> None:
    policies = plan.of("aws_s3_bucket_policy")
    assert len(policies) == len(BUCKETS)
    allowed = [
        s for found in policies.values() for s in statements(found["policy"]) if s["Effect"] == "Allow"
    ]
    assert [(s["Principal"], s["Action"]) for s in allowed] == [
        ({"Service": "logging.s3.amazonaws.com"}, ["s3:PutObject"])
    ]
    assert allowed[0]["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


def test_the_lake_gets_cheaper_with_age(plan: Plan) -> None:
    archived = [rule for name, rule in rules(plan, "lake").items() if name.startswith("archive-")]
    assert len(archived) == 26
    for rule in archived:
        assert sorted((step["days"], step["storage_class"]) for step in rule["transition"]) == [
            (30, "STANDARD_IA"),
            (90, "GLACIER"),
            (365, "DEEP_ARCHIVE"),
        ]
        assert rule["status"] == "Enabled"
        assert not rule["expiration"]


def test_every_dataset_is_archived_and_no_listing_is(plan: Plan) -> None:
    """The sweep reads every listing: one in GLACIER would stop it."""
    archived = prefixes(plan, "lake") - {"", None}
    for key in (
        "posts/year=2026/x.parquet",
        "zebra/x.parquet",
        "exports/run/x.csv",
        "cdc/onpoint_posts/2026/x.parquet",
    ):
        assert any(key.startswith(prefix) for prefix in archived)
    for key in ("_runs/01J00000000000000000000000.json", "_datasets/posts.json"):
        assert not any(key.startswith(prefix) for prefix in archived)


def test_staging_expires_behind_the_sweep(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONPOINT_STAGING_TTL_HOURS", raising=False)
    sweep = load_settings(SweepSettings)
    [expiration] = rules(plan, "staging")["expire-runs"]["expiration"]
    assert expiration["days"] * 24 > sweep.staging_ttl_hours + 30 * 24
    assert {p for p in prefixes(plan, "staging") if p} == {"runs/"}, (
        "the versions of columns, in schemas/, stay"
    )


@pytest.mark.parametrize("bucket", BUCKETS)
def test_an_unfinished_upload_is_aborted(plan: Plan, bucket: str) -> None:
    days = [
        step["days_after_initiation"]
        for rule in rules(plan, bucket).values()
        if not any(found["prefix"] for found in rule["filter"])
        for step in rule["abort_incomplete_multipart_upload"]
    ]
    assert days == [3]


def test_a_bucket_with_data_is_not_destroyed_in_prod(dev: Plan, prod: Plan) -> None:
    assert {bucket["force_destroy"] for bucket in prod.of("aws_s3_bucket").values()} == {False}
    assert {bucket["force_destroy"] for bucket in dev.of("aws_s3_bucket").values()} == {True}


def test_no_secret_is_in_the_plan(plan: Plan) -> None:
    """Passwords are written past the plan and the state: no resource has one that is known or will be."""
    versions = plan.of("aws_secretsmanager_secret_version")
    assert len(versions) >= 11
    for address, version in versions.items():
        assert version["secret_string"] is None, address
        assert version["secret_string_wo"] is None, address
        assert version["secret_string_wo_version"] == 1
    assert "password" not in json.dumps(plan.of("aws_db_instance")).replace(
        "manage_master_user_password", ""
    ).replace("password_wo", "").replace('"password": null', "")
