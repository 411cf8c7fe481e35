"""A wrong input is refused before anything is made, with a sentence that says what is right."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.terraform.plan import Plan
from tests.terraform.tools import run
from tests.terraform.workspace import Workspace

pytestmark = [pytest.mark.terraform, pytest.mark.timeout(600)]

KEY = "arn:aws:kms:eu-central-1:123456789012:key/x"
PLACE: Mapping[str, Any] = {"account_id": "123456789012", "partition": "aws", "region": "eu-central-1"}
LAKE: Mapping[str, Any] = {
    "name": "onpoint-dev",
    "account_id": "123456789012",
    "partition": "aws",
    "kms_key_arn": KEY,
}
NETWORK: Mapping[str, Any] = {
    **PLACE,
    "name": "onpoint-dev",
    "zones": ["eu-central-1a", "eu-central-1b", "eu-central-1c"],
    "log_days": 30,
    "logs_key_arn": KEY,
}
CLUSTER: Mapping[str, Any] = {
    **PLACE,
    "name": "onpoint-dev",
    "kubernetes_version": "1.33",
    "subnet_ids": ["subnet-1"],
    "cluster_key_arn": KEY,
    "logs_key_arn": KEY,
    "log_days": 30,
}
WATCH: Mapping[str, Any] = {
    "name": "onpoint-dev",
    "account_id": "123456789012",
    "emails": ["data@example.org"],
    "databases": {},
    "budget_usd": 100,
    "logs_key_arn": KEY,
}
PLATFORM: Mapping[str, Any] = {
    "environment": "dev",
    "region": "eu-central-1",
    "alarm_emails": ["data@example.org"],
    "budget_usd": 100,
}

REFUSED: list[tuple[str, Mapping[str, Any], Mapping[str, Any], str]] = [
    (
        "lake",
        LAKE,
        {"archive_after_days": {"standard_ia": 7}},
        "S3 moves nothing to STANDARD_IA before 30 days",
    ),
    ("lake", LAKE, {"archive_after_days": {"glacier": 45}}, "let as many pass before the next class"),
    ("lake", LAKE, {"archive_after_days": {"deep_archive": 91}}, "let as many pass before the next class"),
    (
        "lake",
        LAKE,
        {"archived_prefixes": ["_runs/"]},
        "an archived listing (_runs/, _datasets/) would stop the sweep",
    ),
    ("lake", LAKE, {"staging_expiry_days": 7}, "must be 30 days above the TTL of the sweep"),
    ("lake", LAKE, {"staging_ttl_hours": 2400}, "must be 30 days above the TTL of the sweep"),
    ("lake", LAKE, {"name": "On.Point"}, "3 to 63 lower-case letters, digits and hyphens"),
    ("network", NETWORK, {"cidr": "8.8.0.0/16"}, "cidr is a private /16"),
    ("network", NETWORK, {"cidr": "10.20.0.0/24"}, "cidr is a private /16"),
    ("network", NETWORK, {"zones": ["a", "a", "b"]}, "Three different zones are needed"),
    ("cluster", CLUSTER, {"public_cidrs": ["0.0.0.0/0"]}, "0.0.0.0/0 would open the API to the world"),
    ("cluster", CLUSTER, {"public_cidrs": ["office"]}, "is a block of IPv4 addresses"),
    ("cluster", CLUSTER, {"nodes": {"min": 5, "desired": 4}}, "1 <= min <= desired <= max"),
    ("cluster", CLUSTER, {"kubernetes_version": "1.24"}, "at least 1.29"),
    ("cluster", CLUSTER, {"administrators": {"all": "*"}}, "is the ARN of a role or user of IAM"),
    ("watch", WATCH, {"emails": []}, "an alarm without a reader is none"),
    ("watch", WATCH, {"emails": ["data"]}, "each like team@example.org"),
    ("watch", WATCH, {"budget_usd": 0}, "budget_usd is above 0"),
    ("platform", PLATFORM, {"environment": "Production!"}, "2 to 12 lower-case letters and digits"),
    ("platform", PLATFORM, {"airflow_executor": "LocalExecutor"}, "KubernetesExecutor or CeleryExecutor"),
    ("platform", PLATFORM, {"region": "Frankfurt"}, "region is like eu-central-1"),
    ("platform", PLATFORM, {"log_days": 42}, "CloudWatch Logs keeps for"),
    ("platform", PLATFORM, {"slot_keep_mb": 90_000}, "at most half of the database's disk"),
    ("platform", PLATFORM, {"data_database": {"engine_version": "14.6"}}, "PostgreSQL 15 or later is needed"),
    ("platform", PLATFORM, {"data_database": {"storage_limit_gb": 100}}, "at least a tenth above storage_gb"),
    ("platform", PLATFORM, {"data_database": {"backup_days": 0}}, "backup_days is from 1 to 35"),
    ("platform", PLATFORM, {"kafka": {"brokers": 4}}, "brokers is a multiple of three"),
]


@pytest.mark.parametrize(
    ("module", "right", "wrong", "sentence"),
    REFUSED,
    ids=[f"{m}-{next(iter(w))}-{n}" for n, (m, _, w, _) in enumerate(REFUSED)],
)
def test_it_is_refused(
    workspace: Workspace, module: str, right: Mapping[str, Any], wrong: Mapping[str, Any], sentence: str
) -> None:
    assert sentence in workspace.refused(module, {**right, **wrong})


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_an_environment_is_valid_by_the_schema_of_aws(workspace: Workspace, name: str) -> None:
    workspace.terraform(name, "validate")


def test_every_file_is_formatted(workspace: Workspace) -> None:
    folder = workspace.deploy / "terraform"
    done = run("fmt", "-check", "-recursive", folder=folder, environment=workspace.environment)
    unformatted = [line for line in done.stdout.splitlines() if "_override.tf" not in line]
    assert unformatted == []


def test_a_misspelt_argument_is_refused(workspace: Workspace) -> None:
    """Shows that the schema is the real one."""
    file = workspace.env("dev") / "misspelt.tf"
    file.write_text('resource "aws_s3_bucket" "x" {\n  buckett = "x"\n}\n')
    try:
        done = run("validate", folder=workspace.env("dev"), environment=workspace.environment)
    finally:
        file.unlink()
    assert done.returncode == 1
    assert 'An argument named "buckett" is not expected here' in " ".join(
        done.stderr.replace("│", " ").split()
    )


def test_both_environments_are_planned_whole(dev: Plan, prod: Plan) -> None:
    assert len(dev.resources) > 150
    assert len(prod.resources) > 200
