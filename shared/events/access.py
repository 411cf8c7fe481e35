"""Who may do what on the bus: the least that each user needs, derived from the topology.

As Kafka's authorizer has it, `Read` and `Write` include `Describe`, `AlterConfigs` includes `DescribeConfigs`, and `Write`
on a topic includes what an idempotent producer needs.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from shared.events import capture, topics
from shared.events.topology import CONSUMES, FOLLOWS, LISTENS, PUBLISHES, SERVICES, TOPICS, TRANSACTIONAL

Resource = Literal["topic", "group", "transactional_id", "cluster"]
Pattern = Literal["literal", "prefixed"]
Operation = Literal[
    "Read", "Write", "Create", "Describe", "AlterConfigs", "DescribeConfigs", "IdempotentWrite"
]

CLUSTER: Final = "kafka-cluster"
"""As Kafka calls the one resource of its kind."""

LINEAGE_GROUP: Final = topics.consumer_group("lineage")
AIRFLOW_GROUP: Final = "onpoint-airflow"


@dataclass(frozen=True, slots=True, order=True)
class Acl:
    """What one user may do with one resource, from any host."""

    resource: Resource
    name: str
    operations: tuple[Operation, ...]
    pattern: Pattern = "literal"
    """`prefixed`: every resource whose name begins so."""


def users(lineage_topic: str | None = None) -> dict[str, tuple[Acl, ...]]:
    """The ACLs of each user, in a fixed order; one entry for each resource.

    `lineage_topic`: where the lineage process publishes, if it publishes to a topic.
    """
    found: dict[str, Iterable[Acl]] = {service: _of_service(service) for service in SERVICES}
    found["quality"] = [*found["quality"], *_sight()]
    found["lineage"] = _of_lineage(lineage_topic)
    found["cdc"] = _of_the_capture_sink()
    found["connect"] = _of_connect()
    found["console"] = _of_console()
    found["operator"] = [*_of_console(), *_of_operator()]
    found["airflow"] = _of_airflow()
    found["topics"] = [Acl("topic", name, ("Create", "Describe", "AlterConfigs")) for name in TOPICS]
    return {user: _merged(acls) for user, acls in found.items()}


def _of_service(service: str) -> list[Acl]:
    """Its input, its group, its results, its retries and its dead letters."""
    retry, dead_letters = topics.retry_topic(service), topics.dead_letter_topic(service)
    group = topics.consumer_group(service)
    heard = (*LISTENS.get(service, ()), *FOLLOWS.get(service, ()))
    return [
        *_each("topic", {*CONSUMES[service], *heard, retry}, "Read"),
        *_each("topic", {*PUBLISHES[service], retry, dead_letters}, "Write"),
        Acl("group", group, ("Read",)),
        *(
            Acl("transactional_id", topics.transactional_id_prefix(group, topic), ("Write",), "prefixed")
            for topic in TRANSACTIONAL.get(service, ())
        ),
    ]


def _sight() -> list[Acl]:
    """For figures of topics and groups that no service can tell of itself. Quality works without."""
    return [
        *_each("topic", TOPICS, "Describe"),
        *_each("group", [topics.consumer_group(service) for service in SERVICES], "Describe"),
    ]


def _of_lineage(topic: str | None) -> list[Acl]:
    return [
        *_each("topic", FOLLOWS["lineage"], "Read"),
        Acl("group", LINEAGE_GROUP, ("Read",)),
        # It has the producer that every service has, and publishes to no topic of the pipeline.
        Acl("cluster", CLUSTER, ("IdempotentWrite",)) if topic is None else Acl("topic", topic, ("Write",)),
    ]


def _of_the_capture_sink() -> list[Acl]:
    return [
        Acl("topic", f"{capture.TOPIC_PREFIX}.", ("Read",), "prefixed"),
        Acl("topic", topics.dead_letter_topic("s3sink"), ("Write",)),
        Acl("group", capture.SINK_GROUP, ("Read",)),
    ]


def _of_connect() -> list[Acl]:
    """Of the workers, their connector and its one task: exactly once, so each has a transactional id."""
    task = f"{capture.CONNECT_GROUP}-{capture.CONNECTOR}-"
    return [
        *(
            Acl("topic", name, ("Read", "Write", "Create", "DescribeConfigs"))
            for name in (capture.CONFIGS, capture.OFFSETS, capture.STATUS)
        ),
        Acl("topic", f"{capture.TOPIC_PREFIX}.", ("Write", "Create"), "prefixed"),
        Acl("topic", capture.HEARTBEATS, ("Write", "Create")),
        Acl("topic", capture.SIGNALS, ("Read",)),
        *_each("group", (capture.CONNECT_GROUP, capture.SIGNAL_GROUP), "Read"),
        Acl("transactional_id", f"connect-cluster-{capture.CONNECT_GROUP}", ("Write",)),
        Acl("transactional_id", task, ("Write",), "prefixed"),
    ]


def _of_console() -> list[Acl]:
    """`onpoint run`, `cancel`, `dlq`, `exports combine`, and the operators' page."""
    return [
        *_each("topic", {topics.RUN_COMPLETED, *map(topics.dead_letter_topic, SERVICES)}, "Read"),
        *_each(
            "topic",
            {topics.CRAWL_REQUESTED, topics.EXPORTS_COMBINED, *map(topics.retry_topic, SERVICES)},
            "Write",
        ),
    ]


def _of_operator() -> list[Acl]:
    """Beside the console's: `onpoint verify`, `topics restore` and `cdc`."""
    return [
        *_each("topic", TOPICS, "Read"),
        Acl("topic", topics.RUN_COMPLETED, ("Write",)),
        *_each("group", [topics.consumer_group(service) for service in SERVICES], "Describe"),
        Acl("topic", f"{capture.TOPIC_PREFIX}.", ("Read", "Write"), "prefixed"),
        Acl("topic", capture.SIGNALS, ("Write", "Create")),
    ]


def _of_airflow() -> list[Acl]:
    """The plugin's trigger and wait, and the group of DAGs that are scheduled by the end of a run."""
    return [
        Acl("topic", topics.CRAWL_REQUESTED, ("Write",)),
        Acl("topic", topics.RUN_COMPLETED, ("Read",)),
        Acl("group", AIRFLOW_GROUP, ("Read",), "prefixed"),
    ]


def _each(resource: Resource, names: Collection[str], *operations: Operation) -> list[Acl]:
    return [Acl(resource, name, operations) for name in sorted(names)]


_IMPLIED: Final[Mapping[Operation, frozenset[Operation]]] = {
    "Describe": frozenset({"Read", "Write"}),
    "DescribeConfigs": frozenset({"AlterConfigs"}),
}
"""What comes with one of others."""


def _merged(acls: Iterable[Acl]) -> tuple[Acl, ...]:
    """One entry for each resource, without what comes with another operation."""
    operations: dict[tuple[Resource, str, Pattern], set[Operation]] = defaultdict(set)
    for acl in acls:
        operations[acl.resource, acl.name, acl.pattern].update(acl.operations)
    return tuple(
        sorted(
            Acl(resource, name, tuple(sorted(_least(found))), pattern)
            for (resource, name, pattern), found in operations.items()
        )
    )


def _least(operations: set[Operation]) -> set[Operation]:
    return {each for each in operations if not _IMPLIED.get(each, frozenset()) & operations}
