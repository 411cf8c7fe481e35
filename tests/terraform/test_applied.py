"""`dev` is made in a stand-in of AWS: what is known only then, and that a second plan changes nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest

from deploy.k8s.manifests import cluster
from deploy.terraform.cluster_env import read_outputs, text_of
from shared.settings.postgres import PostgresSettings
from tests.support.records import ROOT
from tests.terraform.aws import REGION, Aws
from tests.terraform.plan import statements
from tests.terraform.workspace import Workspace

pytestmark = [pytest.mark.terraform, pytest.mark.timeout(900)]

NOT_KNOWN = {
    "watch": """\
resource "aws_budgets_budget" "month" {
  count = 0
}
""",
    "cluster": """\
resource "aws_eks_addon" "network" {
  count = 0
}
resource "aws_eks_addon" "proxy" {
  count = 0
}
resource "aws_eks_addon" "disks" {
  count = 0
}
resource "aws_eks_addon" "on_nodes" {
  for_each = toset([])
}
resource "aws_eks_cluster" "this" {
  lifecycle {
    ignore_changes = all
  }
}
resource "aws_eks_node_group" "this" {
  lifecycle {
    ignore_changes = all
  }
}
resource "aws_launch_template" "node" {
  lifecycle {
    ignore_changes = [tag_specifications]
  }
}
""",
    "database": """\
resource "aws_vpc_security_group_ingress_rule" "this" {
  referenced_security_group_id = aws_security_group.this.id
  lifecycle {
    ignore_changes = [description]
  }
}
resource "aws_db_parameter_group" "this" {
  lifecycle {
    ignore_changes = [parameter]
  }
}
resource "aws_db_instance" "this" {
  lifecycle {
    ignore_changes = [
      performance_insights_enabled, performance_insights_kms_key_id, performance_insights_retention_period,
    ]
  }
}
""",
}
"""By module, what the stand-in lacks: a budget's mails, add-ons of a cluster, the security group that EKS makes; and what it
forgets: how a cluster is reached, its nodes, parameters of a database, Performance Insights, descriptions of rules."""

KEPT = ("LOADER", "QUALITY_LINEAGE", "EXTERNAL_SECRETS")
Values = Mapping[str, Any]


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """In an account of its own: plans of other tests are not changed by it."""
    folder = tmp_path_factory.mktemp("applied")
    with Aws(folder) as aws:
        workspace = Workspace(folder, aws)
        for module, left_out in NOT_KNOWN.items():
            (workspace.deploy / "terraform" / "modules" / module / "stand_in_override.tf").write_text(
                left_out
            )
        workspace.prepare("dev")
        workspace.write_variables("dev")
        workspace.terraform("dev", "apply", "-input=false", "-auto-approve", "-parallelism=20", within_s=800)
        yield workspace


@pytest.fixture(scope="module")
def state(applied: Workspace) -> dict[str, Values]:
    """What there is, by address within the platform."""
    found: dict[str, Values] = {}
    modules = [json.loads(applied.terraform("dev", "show", "-json"))["values"]["root_module"]]
    while modules:
        module = modules.pop()
        modules += module.get("child_modules", ())
        for resource in module.get("resources", ()):
            found[resource["address"].removeprefix("module.onpoint.")] = resource["values"]
    return found


@pytest.fixture(scope="module")
def secrets(applied: Workspace) -> dict[str, str]:
    """What Secrets Manager has, by name."""
    client = boto3.client(
        "secretsmanager",
        region_name=REGION,
        endpoint_url=applied.environment["AWS_ENDPOINT_URL"],
        aws_access_key_id="testing",
        aws_secret_access_key="testing",  # noqa: S106 - of the stand-in
    )
    names = [
        found["Name"]
        for page in client.get_paginator("list_secrets").paginate()
        for found in page["SecretList"]
    ]
    return {name: client.get_secret_value(SecretId=name)["SecretString"] for name in names}


def test_a_second_plan_changes_nothing(applied: Workspace) -> None:
    said = applied.terraform("dev", "plan", "-input=false", "-detailed-exitcode")
    assert "No changes." in said


def test_each_role_is_for_one_service_account(state: dict[str, Values]) -> None:
    roles = {address: v for address, v in state.items() if address.startswith("module.access.aws_iam_role.")}
    assert len(roles) == 11
    provider = state["module.cluster.aws_iam_openid_connect_provider.this"]
    issuer = provider["url"].removeprefix("https://")
    for role in roles.values():
        [statement] = statements(role["assume_role_policy"])
        account = role["name"].removeprefix("onpoint-dev-")
        assert statement["Action"] == ["sts:AssumeRoleWithWebIdentity"]
        assert statement["Principal"] == {"Federated": provider["arn"]}
        assert statement["Condition"] == {
            "StringEquals": {
                f"{issuer}:aud": "sts.amazonaws.com",
                f"{issuer}:sub": f"system:serviceaccount:onpoint:{account}",
            }
        }


def test_a_role_uses_the_key_through_s3_alone(state: dict[str, Values]) -> None:
    key = state['module.keys.aws_kms_key.this["data"]']["arn"]
    policies = [
        v["policy"] for a, v in state.items() if a.startswith("module.access.aws_iam_role_policy.key[")
    ]
    assert len(policies) == 10
    for policy in policies:
        [statement] = statements(policy)
        assert (statement["Resource"], statement["Action"]) == ([key], ["kms:GenerateDataKey", "kms:Decrypt"])
        assert statement["Condition"] == {"StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}}


def test_external_secrets_reads_the_secrets_of_the_pipeline_alone(
    state: dict[str, Values], secrets: dict[str, str]
) -> None:
    reads, decrypts = statements(state["module.access.aws_iam_role_policy.secrets"]["policy"])
    assert sorted(reads["Resource"]) == [
        f"arn:aws:secretsmanager:{REGION}:123456789012:secret:AmazonMSK_onpoint-dev_*",
        f"arn:aws:secretsmanager:{REGION}:123456789012:secret:onpoint-dev/*",
    ]
    assert decrypts["Resource"] == [state['module.keys.aws_kms_key.this["secrets"]']["arn"]]
    assert any(name.startswith("onpoint-dev/") for name in secrets)


def test_a_process_finds_its_login_in_its_secret(state: dict[str, Values], secrets: dict[str, str]) -> None:
    host = state['module.database["data"].aws_db_instance.this']["address"]
    logins = {
        name: json.loads(text) for name, text in secrets.items() if name.startswith("onpoint-dev/postgres/")
    }
    of_processes = {name for name, login in logins.items() if "dsn" in login}
    assert {name.rpartition("/")[2] for name in of_processes} == {
        "console",
        "loader",
        "migrate",
        "quality",
        "quality-lineage",
        "s3sink",
        "s3sink-cdc",
    }
    for name in of_processes:
        dsn = PostgresSettings(postgres_dsn=logins[name]["dsn"]).postgres_dsn.get_secret_value()
        assert f"@{host}:" in dsn
        assert "sslmode=require" in dsn
        assert logins[name]["password"] in dsn
    assert len({login["password"] for login in logins.values()}) == 2, (
        "one of the pipeline, one of Kafka Connect"
    )


def test_no_secret_is_in_the_state(applied: Workspace, secrets: dict[str, str]) -> None:
    text = (applied.env("dev") / "terraform.tfstate").read_text()
    of_terraform = {password_in(found) for name, found in secrets.items() if name.startswith("onpoint-dev/")}
    assert len(of_terraform) == 5, "of the pipeline, Connect, Airflow, the control token and the masks"
    assert all(len(value) >= 32 for value in of_terraform)
    assert [value for value in map(password_in, secrets.values()) if value in text] == [], (
        "those of RDS neither"
    )


def test_a_raised_version_makes_new_passwords(applied: Workspace) -> None:
    """A plan without it changes none, though each run makes others: only the version counts."""
    main = applied.env("dev") / "main.tf"
    before = main.read_text()
    main.write_text(
        before.replace(
            "disposable     = true", "disposable     = true\n  password_versions = { connect = 2 }"
        )
    )
    assert main.read_text() != before
    try:
        said = applied.terraform("dev", "plan", "-input=false")
    finally:
        main.write_text(before)
    assert "Plan: 1 to add, 0 to change, 1 to destroy." in said
    assert 'aws_secretsmanager_secret_version.this["postgres/connect"] must be replaced' in said


def test_kubernetes_gets_what_it_has_to_know(
    applied: Workspace, state: dict[str, Values], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in applied.environment.items():
        monkeypatch.setenv(name, value)
    values = read_outputs(applied.env("dev"))

    assert values["ONPOINT_LAKE_BUCKET"] == "onpoint-dev-lake-123456789012"
    assert values["ONPOINT_STAGING_BUCKET"] == "onpoint-dev-staging-123456789012"
    assert (values["AWS_REGION"], values["SECRETS_PREFIX"]) == (REGION, "onpoint-dev")
    data = [v["cidr_block"] for a, v in state.items() if a.startswith("module.network.aws_subnet.data[")]
    assert sorted(values["POSTGRES_CIDRS"].split(",")) == sorted(data)
    assert set(data) <= set(values["STORE_CIDRS"].split(","))
    for account in KEPT:
        name = account.lower().replace("_", "-")
        assert values[f"ROLE_ARN_{account}"] == f"arn:aws:iam::123456789012:role/onpoint-dev-{name}"
    assert cluster.read(text_of(values, "dev"), "cluster.env").values == values, "as deploy/k8s checks it"
    lines = text_of(values, "dev").splitlines()
    assert [line for line in lines if not line.startswith("#")] == sorted(
        f"{n}={v}" for n, v in values.items()
    )


def test_an_environment_that_was_never_applied_says_so() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.terraform.cluster_env", "dev", "--print"],
        cwd=ROOT,
        env={**os.environ, "CHECKPOINT_DISABLE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("cluster-env: ")
    assert "terraform" in done.stderr


def password_in(secret: str) -> str:
    """Of a login, or the secret itself."""
    try:
        found: str = json.loads(secret)["password"]
    except json.JSONDecodeError:
        return secret
    return found
