"""Who may reach whom is the pipeline's graph and no edge more: by NetworkPolicies, and by the ACLs of Kafka's users."""

import copy
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest

from shared.bus.topic_admin import load_topics
from shared.events import access
from tests.deploy.cluster.api import of_kind
from tests.deploy.environment import ROOT
from tests.deploy.graph.expected import (
    INTERNET,
    KAFKA,
    POSTGRES,
    STORE,
    expected,
    users_without_a_process,
)
from tests.deploy.graph.places import places
from tests.deploy.graph.policies import ANY_PORT, ANYWHERE, Edge, connections
from tests.deploy.rendered import OVERLAYS, rendered

pytestmark = pytest.mark.deploy


@dataclass(frozen=True)
class Surroundings:
    """Where an overlay has what the pipeline works on, and the edges that are not the pipeline's own."""

    kafka_port: str
    store_port: str
    also: frozenset[Edge] = frozenset()


TOPICS_FILE: Final = ROOT / "deploy/kafka/topics.yaml"
REPLICAS: Final = 20
"""Of a service, at most."""

AIRFLOW: Final = Edge("airflow/component=worker,tier=airflow", "quality", "8080")
"""A DAG reads the pipeline's health."""
MARQUEZ: Final = Edge("quality-lineage", "lineage/app.kubernetes.io/name=marquez", "5000")
"""The receiver of lineage events."""

SURROUNDINGS: Final = {
    "local": Surroundings("9092", "8333", frozenset({Edge("kafka", "kafka", "9092")})),
    "dev": Surroundings("9093", "443", frozenset({AIRFLOW, MARQUEZ})),
    "prod": Surroundings("9096", "443", frozenset({AIRFLOW})),
}

every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


@every_overlay
def test_policies_allow_the_graph_and_no_edge_more(overlay: str) -> None:
    around = SURROUNDINGS[overlay]
    processes = {place.name for place in places(rendered(overlay))}
    wanted = expected(processes, around.kafka_port, around.store_port) | around.also
    found = {_named(edge, around) for edge in connections(rendered(overlay)).open}
    assert (sorted(wanted - found), sorted(found - wanted)) == ([], [])


@every_overlay
def test_no_edge_is_allowed_at_one_end_only(overlay: str) -> None:
    assert connections(rendered(overlay)).half_open == set()


@every_overlay
def test_a_label_too_many_is_an_edge_too_many(overlay: str) -> None:
    """Labels are what lets a pod in: the crawler has nothing to do in PostgreSQL."""
    changed = copy.deepcopy(rendered(overlay))
    (crawler,) = [
        each for each in changed if (each["kind"], each["metadata"]["name"]) == ("Deployment", "crawler")
    ]
    crawler["spec"]["template"]["metadata"]["labels"]["onpoint/postgres"] = "client"
    more = {_named(edge, SURROUNDINGS[overlay]) for edge in connections(changed).open}
    less = {_named(edge, SURROUNDINGS[overlay]) for edge in connections(rendered(overlay)).open}
    assert more - less == {Edge("crawler", POSTGRES, "5432")}


@every_overlay
def test_without_its_policies_the_crawler_reaches_everything(overlay: str) -> None:
    """Were a pod that no policy selects read as closed, the graph would hold whatever is missing."""
    rest = [each for each in rendered(overlay) if each["kind"] != "NetworkPolicy"]
    assert Edge("crawler", ANYWHERE, ANY_PORT) in connections(rest).open


def test_every_user_of_kafka_is_a_process_or_outside() -> None:
    assert users_without_a_process() == set()


def test_the_users_that_strimzi_makes_have_the_acls_of_the_topology() -> None:
    """But for the one that makes topics: there the operator does."""
    found = {each["metadata"]["name"]: _acls(each) for each in of_kind(rendered("dev"), "KafkaUser")}
    wanted = {user: set(acls) for user, acls in access.users().items() if user != "topics"}
    assert found == wanted


def test_the_topics_that_strimzi_makes_are_those_of_the_pipeline() -> None:
    found = {
        each["spec"].get("topicName", each["metadata"]["name"])
        for each in of_kind(rendered("dev"), "KafkaTopic")
    }
    assert found == set(load_topics(TOPICS_FILE))


def test_topics_that_replicas_share_have_a_partition_for_each() -> None:
    shared = {name for name, topic in load_topics(TOPICS_FILE).items() if topic.partitions > 1}
    found = {
        each["metadata"]["name"]: each["spec"]["partitions"]
        for each in of_kind(rendered("dev"), "KafkaTopic")
    }
    assert {name for name, partitions in found.items() if partitions >= REPLICAS} == shared


RESOURCES: Final = {"transactionalId": "transactional_id"}
PATTERNS: Final = {"prefix": "prefixed"}


def _acls(user: Any) -> set[access.Acl]:
    assert user["spec"]["authorization"]["type"] == "simple"
    found = set()
    for acl in user["spec"]["authorization"]["acls"]:
        assert acl.get("type", "allow") == "allow"
        resource = acl["resource"]
        kind = RESOURCES.get(resource["type"], resource["type"])
        pattern = resource.get("patternType", "literal")
        found.add(
            access.Acl(
                kind,
                resource.get("name", access.CLUSTER),
                tuple(acl["operations"]),
                PATTERNS.get(pattern, pattern),
            )
        )
    return found


def _named(edge: Edge, around: Surroundings) -> Edge:
    """Addresses and pods of infrastructure by what they are: their ports tell."""
    if edge.target.startswith("0.0.0.0/0 without "):
        return replace(edge, target=INTERNET)
    if edge in around.also:
        return edge
    is_outside = "/" in edge.target and "kube-dns" not in edge.target
    if edge.target == "seaweedfs" or (is_outside and edge.port == around.store_port):
        return replace(edge, target=STORE)
    if edge.target == "kafka" or (is_outside and edge.port == around.kafka_port):
        return replace(edge, target=KAFKA)
    if edge.target == "postgres" or (is_outside and edge.port == "5432"):
        return replace(edge, target=POSTGRES)
    return edge
