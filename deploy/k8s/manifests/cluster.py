"""What an overlay knows of its cloud: `cluster.env`, as Terraform's outputs fill it, and the objects that follow from it."""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from deploy.k8s.manifests.jobs import MIGRATE, TOPICS
from deploy.k8s.manifests.network import ports
from deploy.k8s.manifests.objects import KAFKA, PART_OF, POSTGRES, STORE, Object, metadata
from deploy.k8s.manifests.workloads import WORKLOADS
from shared.errors import ConfigurationError
from shared.events.access import users

SETTINGS: Final = ("AWS_REGION", "ONPOINT_STAGING_BUCKET", "ONPOINT_LAKE_BUCKET")
"""Lines that are settings of the processes."""

BOOTSTRAP_SERVERS: Final = "ONPOINT_KAFKA_BOOTSTRAP_SERVERS"
CIDRS: Final = ("POSTGRES_CIDRS", "STORE_CIDRS")
KAFKA_CIDRS: Final = "KAFKA_CIDRS"
PREFIX: Final = "SECRETS_PREFIX"
OPTIONAL: Final = (BOOTSTRAP_SERVERS, KAFKA_CIDRS)
"""Absent where Kafka is in the cluster; both or none."""

STORE_WORKLOADS: Final = tuple(workload.name for workload in WORKLOADS if workload.store)
ROLES: Final = (*STORE_WORKLOADS, "external-secrets")
"""ServiceAccounts with a role of their own: what reads or writes the buckets, and what reads the secrets."""

POSTGRES_PORT, KAFKA_PORT, HTTPS_PORT = 5432, 9096, 443
"""9096: where MSK listens with SASL/SCRAM."""

_ROLE: Final = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")
_PREFIX: Final = re.compile(r"[a-z][a-z0-9-]{0,40}")


def role_key(account: str) -> str:
    return f"ROLE_ARN_{account.upper().replace('-', '_')}"


def required() -> tuple[str, ...]:
    """The lines that every `cluster.env` has, in their order."""
    return (*SETTINGS, *CIDRS, PREFIX, *map(role_key, ROLES))


@dataclass(frozen=True, slots=True)
class Cluster:
    """A checked `cluster.env`."""

    values: Mapping[str, str]

    @property
    def has_kafka(self) -> bool:
        """Whether Kafka is outside of the cluster."""
        return BOOTSTRAP_SERVERS in self.values

    def cidrs(self, key: str) -> list[str]:
        return self.values[key].split(",")


def read(text: str, name: str) -> Cluster:
    """Raises `ConfigurationError` that names the file and every line that is missing, unknown or wrong."""
    values: dict[str, str] = {}
    faults: list[str] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        key, separator, value = line.partition("=")
        if not separator or not value:
            faults.append(f"line {number}: NAME=value is expected")
        values[key] = value
    faults += [f"{key} is missing" for key in required() if key not in values]
    faults += [f"{key} is not known" for key in values if key not in {*required(), *OPTIONAL}]
    if (BOOTSTRAP_SERVERS in values) != (KAFKA_CIDRS in values):
        faults.append(f"{BOOTSTRAP_SERVERS} and {KAFKA_CIDRS} are set together, or neither is")
    faults += [fault for key, value in values.items() if (fault := _fault(key, value))]
    if faults:
        raise ConfigurationError(f"{name}: " + "; ".join(faults))
    return Cluster(values)


def _fault(key: str, value: str) -> str | None:
    if key.startswith("ROLE_ARN_") and not _ROLE.fullmatch(value):
        return f"{key}: the ARN of a role is expected"
    if key == PREFIX and not _PREFIX.fullmatch(value):
        return f"{key}: lower-case letters, digits and hyphens are expected"
    if key.endswith("_CIDRS"):
        try:
            networks = [ipaddress.IPv4Network(part) for part in value.split(",")]
        except ValueError:
            return f"{key}: IPv4 ranges are expected, comma-separated"
        if any(network.prefixlen == 0 for network in networks):
            return f"{key}: a range that is everything is no range"
    return None


def settings(cluster: Cluster) -> str:
    """The settings of every process that follow from it, as lines."""
    names = [*SETTINGS, *([BOOTSTRAP_SERVERS] if cluster.has_kafka else [])]
    return "".join(f"{name}={cluster.values[name]}\n" for name in names)


def network(cluster: Cluster) -> list[Object]:
    """The ways out to what AWS runs: by address, as these have no pods."""
    found = [
        _way_out("to-postgres", POSTGRES, cluster.cidrs("POSTGRES_CIDRS"), POSTGRES_PORT),
        # S3, and STS for the role.
        _way_out("to-store", STORE, cluster.cidrs("STORE_CIDRS"), HTTPS_PORT),
    ]
    if cluster.has_kafka:
        found.append(_way_out("to-kafka", KAFKA, cluster.cidrs(KAFKA_CIDRS), KAFKA_PORT))
    return found


def _way_out(name: str, label: str, cidrs: Iterable[str], port: int) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "labels": {PART_OF: "onpoint"}},
        "spec": {
            "podSelector": {"matchLabels": {label: "client"}},
            "policyTypes": ["Egress"],
            "egress": [{"to": [{"ipBlock": {"cidr": cidr}} for cidr in cidrs], "ports": ports(port)}],
        },
    }


def roles(cluster: Cluster) -> Object:
    """A component that gives each ServiceAccount its role (IAM roles for service accounts)."""
    patches = [
        {
            "target": {"kind": "ServiceAccount", "name": account},
            "patch": "- op: add\n  path: /metadata/annotations\n  value:\n"
            f"    eks.amazonaws.com/role-arn: {cluster.values[role_key(account)]}\n",
        }
        for account in ROLES
    ]
    return {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component", "patches": patches}


def secrets(cluster: Cluster) -> list[Object]:
    """What External Secrets reads from AWS Secrets Manager, and the Secrets that it makes."""
    prefix = cluster.values[PREFIX]
    databases = sorted([workload.name for workload in (*WORKLOADS, MIGRATE) if workload.postgres])
    found = [_account(), _store(cluster.values["AWS_REGION"])]
    found += [
        _external(f"postgres-{name}", {"dsn": (f"{prefix}/postgres/{name}", "dsn")}) for name in databases
    ]
    found.append(
        _external("postgres-connect", {"password": (f"{prefix}/postgres/connect", "password")}),
    )
    if cluster.has_kafka:
        found += [_kafka_user(f"AmazonMSK_{prefix}_{user}", user) for user in (*_own_users(), TOPICS.name)]
    return found


def _own_users() -> list[str]:
    """Users of processes here. Airflow's is in its own namespace."""
    here = {workload.kafka_user for workload in WORKLOADS} | {"connect"}
    return [user for user in users() if user in here]


def _account() -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata("external-secrets"),
        "automountServiceAccountToken": False,
    }


def _store(region: str) -> Object:
    return {
        "apiVersion": "external-secrets.io/v1",
        "kind": "SecretStore",
        "metadata": metadata("onpoint"),
        "spec": {
            "provider": {
                "aws": {
                    "service": "SecretsManager",
                    "region": region,
                    "auth": {"jwt": {"serviceAccountRef": {"name": "external-secrets"}}},
                }
            }
        },
    }


def _external(
    name: str, keys: Mapping[str, tuple[str, str]], template: Mapping[str, str] | None = None
) -> Object:
    """`keys`: key of the Secret -> name of the remote secret and its property."""
    target: Object = {"name": name, "creationPolicy": "Owner"}
    if template:
        target["template"] = {"engineVersion": "v2", "mergePolicy": "Merge", "data": dict(template)}
    return {
        "apiVersion": "external-secrets.io/v1",
        "kind": "ExternalSecret",
        "metadata": metadata(name),
        "spec": {
            # A rotated secret arrives within the hour; docs/deploy/kubernetes.md tells who reads it again.
            "refreshInterval": "1h",
            "secretStoreRef": {"kind": "SecretStore", "name": "onpoint"},
            "target": target,
            "data": [
                {"secretKey": key, "remoteRef": {"key": remote, "property": inside}}
                for key, (remote, inside) in keys.items()
            ],
        },
    }


def _kafka_user(remote: str, user: str) -> Object:
    """As Strimzi makes the Secret of a user: MSK keeps a name and a password, in a secret whose name it prescribes."""
    login = (
        "org.apache.kafka.common.security.scram.ScramLoginModule required "
        f'username="{user}" password="{{{{ .password }}}}";'
    )
    return _external(user, {"password": (remote, "password")}, {"sasl.jaas.config": login})
