"""What an overlay knows of its cloud: a wrong line is named, and what follows from the right ones."""

import pytest

from deploy.k8s.manifests.cluster import network, read, required, roles, secrets, settings
from deploy.k8s.manifests.writing import ROOT
from shared.errors import ConfigurationError

PROD = (ROOT / "overlays/prod/cluster.env").read_text()
DEV = (ROOT / "overlays/dev/cluster.env").read_text()


def changed(name: str, value: str) -> str:
    return "\n".join(f"{name}={value}" if line.startswith(f"{name}=") else line for line in PROD.splitlines())


@pytest.mark.parametrize("name", required())
def test_a_line_that_is_missing_is_named(name: str) -> None:
    text = "\n".join(line for line in PROD.splitlines() if not line.startswith(f"{name}="))

    with pytest.raises(ConfigurationError, match=rf"here: .*{name} is missing"):
        read(text, "here")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("POSTGRES_CIDRS", "10.0.0.0/40", "IPv4 ranges are expected"),
        ("POSTGRES_CIDRS", "10.0.0.1/8", "IPv4 ranges are expected"),
        ("STORE_CIDRS", "10.0.0.0/8,0.0.0.0/0", "everything is no range"),
        ("SECRETS_PREFIX", "onpoint_prod", "lower-case letters"),
        ("ROLE_ARN_LOADER", "onpoint-prod-loader", "the ARN of a role"),
        ("ROLE_ARN_LOADER", "arn:aws:iam::123456789012:role/a\nb: c", "NAME=value is expected"),
        ("ROLE_ARN_LOADER", "", "NAME=value is expected"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        read(changed(name, value), "here")


def test_a_line_that_is_not_known_is_named() -> None:
    with pytest.raises(ConfigurationError, match="PASSWORD is not known"):
        read(f"{PROD}\nPASSWORD=1\n", "here")


def test_kafka_has_an_address_and_ranges_or_neither() -> None:
    with pytest.raises(ConfigurationError, match="are set together"):
        read(f"{DEV}\nKAFKA_CIDRS=10.0.0.0/24\n", "here")


def test_what_is_outside_has_a_way_out_by_its_port() -> None:
    found = {
        policy["metadata"]["name"]: policy["spec"]["egress"][0] for policy in network(read(PROD, "prod"))
    }

    assert {name: rule["ports"][0]["port"] for name, rule in found.items()} == {
        "to-postgres": 5432,
        "to-store": 443,
        "to-kafka": 9096,
    }
    assert [peer["ipBlock"]["cidr"] for peer in found["to-postgres"]["to"]] == [
        "10.0.64.0/22",
        "10.0.68.0/22",
        "10.0.72.0/22",
    ]


def test_kafka_in_the_cluster_has_no_way_out_and_no_secret_outside() -> None:
    dev = read(DEV, "dev")

    assert [policy["metadata"]["name"] for policy in network(dev)] == ["to-postgres", "to-store"]
    assert "BOOTSTRAP" not in settings(dev)
    assert not any("Kafka" in str(each) or "MSK" in str(each) for each in secrets(dev))


def test_every_account_has_its_own_role() -> None:
    patches = [patch["patch"] for patch in roles(read(PROD, "prod"))["patches"]]

    assert len(set(patches)) == len(patches)
    assert all("eks.amazonaws.com/role-arn: arn:aws:iam::" in patch for patch in patches)


def test_a_secret_outside_is_read_by_one_pod_and_never_written_down() -> None:
    found = {
        each["metadata"]["name"]: each["spec"]["data"]
        for each in secrets(read(PROD, "prod"))
        if each["kind"] == "ExternalSecret"
    }

    assert found["postgres-loader"] == [
        {"secretKey": "dsn", "remoteRef": {"key": "onpoint-prod/postgres/loader", "property": "dsn"}}
    ]
    assert found["loader"][0]["remoteRef"] == {
        "key": "AmazonMSK_onpoint-prod_loader",
        "property": "password",
    }
