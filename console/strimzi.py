"""Users of the bus as resources of Strimzi, whose user operator makes their credentials and ACLs."""

from collections.abc import Collection, Mapping
from typing import Any, Final

import yaml

from shared.events.access import Acl, Resource

API_VERSION: Final = "kafka.strimzi.io/v1"
TYPES: Final[Mapping[Resource, str]] = {
    "topic": "topic",
    "group": "group",
    "cluster": "cluster",
    "transactional_id": "transactionalId",
}
PATTERNS: Final = {"literal": "literal", "prefixed": "prefix"}


def kafka_users(users: Mapping[str, Collection[Acl]], cluster: str) -> str:
    """YAML, one document for each user. The password of each is the operator's, in a Secret of the user's name."""
    return yaml.safe_dump_all(
        [kafka_user(user, acls, cluster) for user, acls in users.items()],
        sort_keys=False,
        explicit_start=True,
    )


def kafka_user(user: str, acls: Collection[Acl], cluster: str) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "KafkaUser",
        "metadata": {"name": user, "labels": {"strimzi.io/cluster": cluster}},
        "spec": {
            "authentication": {"type": "scram-sha-512"},
            "authorization": {"type": "simple", "acls": [_acl(acl) for acl in acls]},
        },
    }


def _acl(acl: Acl) -> dict[str, Any]:
    resource: dict[str, str] = {"type": TYPES[acl.resource]}
    if acl.resource != "cluster":
        resource |= {"name": acl.name, "patternType": PATTERNS[acl.pattern]}
    return {"resource": resource, "operations": list(acl.operations), "host": "*"}
