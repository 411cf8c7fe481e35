"""Topics and users for Strimzi: the one declaration of the topics, and the ACLs of the topology."""

from pathlib import Path
from typing import Final

from deploy.k8s.manifests.objects import PART_OF, Object
from shared.bus.topic_admin import load_topics
from shared.events.access import Acl, users

CLUSTER: Final = "onpoint-kafka"
PARTITIONS: Final = 24
"""Of a topic whose declaration has the default: up to twenty replicas of a service have work, and 24 is shared evenly by
most numbers of them."""

TOPICS_FILE: Final = Path(__file__).parents[2] / "kafka" / "topics.yaml"
ADMIN: Final = "topics"
"""The user of the Job that makes topics. Here the operator makes them from their objects."""


def topics() -> list[Object]:
    return [
        _object("KafkaTopic", name)
        | {
            "spec": {
                "partitions": spec.partitions,
                "replicas": 3,
                # A record is acknowledged when two brokers have it.
                "config": spec.config() | {"min.insync.replicas": "2"},
            }
        }
        for name, spec in load_topics(TOPICS_FILE, partitions=PARTITIONS).items()
    ]


def kafka_users() -> list[Object]:
    """The operator makes a Secret of the user's name with its password."""
    return [
        _object("KafkaUser", name)
        | {
            "spec": {
                "authentication": {"type": "scram-sha-512"},
                "authorization": {"type": "simple", "acls": [_rule(acl) for acl in acls]},
            }
        }
        for name, acls in users().items()
        if name != ADMIN
    ]


def _rule(acl: Acl) -> Object:
    if acl.resource == "cluster":
        return {"resource": {"type": "cluster"}, "operations": list(acl.operations)}
    kind = {"topic": "topic", "group": "group", "transactional_id": "transactionalId"}[acl.resource]
    pattern = {"literal": "literal", "prefixed": "prefix"}[acl.pattern]
    return {
        "resource": {"type": kind, "name": acl.name, "patternType": pattern},
        "operations": list(acl.operations),
    }


def _object(kind: str, name: str) -> Object:
    labels = {"strimzi.io/cluster": CLUSTER, PART_OF: "onpoint"}
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": kind,
        "metadata": {"name": name, "labels": labels},
    }
