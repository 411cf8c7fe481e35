"""The rights of each user are what the topology gives it, and nothing more; docs/security.md says the same."""

import ast
from collections.abc import Iterator

import pytest

from shared.events import topics
from shared.events.access import Acl, Operation, users
from shared.events.topology import CONSUMES, FOLLOWS, LISTENS, PIPELINE, PUBLISHES, SERVICES, STAGES, TOPICS
from tests.support.records import ROOT

USERS = users()
PROCESSES = (*SERVICES, "lineage", "cdc")


def names(user: str, resource: str, operation: Operation) -> set[str]:
    return {acl.name for acl in USERS[user] if acl.resource == resource and operation in acl.operations}


def test_each_thing_that_speaks_to_the_bus_has_a_user_of_its_own() -> None:
    assert tuple(USERS) == (*PROCESSES, "connect", "console", "operator", "airflow", "topics")


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reads_its_topics_in_its_own_group(service: str) -> None:
    heard = {*LISTENS.get(service, ()), *FOLLOWS.get(service, ())}

    assert names(service, "topic", "Read") == {*CONSUMES[service], *heard, topics.retry_topic(service)}
    assert names(service, "group", "Read") == {topics.consumer_group(service)}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_writes_its_results_its_retries_and_its_dead_letters(service: str) -> None:
    own = {topics.retry_topic(service), topics.dead_letter_topic(service)}

    assert names(service, "topic", "Write") == {*PUBLISHES[service], *own}


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_publishes_is_what_its_code_names(service: str) -> None:
    assert {*published_in(service), *results_of(service)} == set(PUBLISHES[service])


def test_a_topic_is_written_by_one_service_but_failures_which_every_stage_has() -> None:
    writers = {
        topic: [service for service in SERVICES if topic in names(service, "topic", "Write")]
        for topic in TOPICS
    }

    assert {topic for topic, services in writers.items() if len(services) > 1} == {topics.BATCH_FAILED}
    assert {topic for topic, services in writers.items() if not services} == {topics.CRAWL_REQUESTED}


def test_only_the_service_that_publishes_in_transactions_has_transactional_ids() -> None:
    found = {
        (user, acl.name) for user in PROCESSES for acl in USERS[user] if acl.resource == "transactional_id"
    }

    assert found == {("quality", "onpoint-quality-run.drained-")}


def test_only_the_topics_user_makes_or_configures_topics_of_the_pipeline() -> None:
    for operation in ("Create", "AlterConfigs"):
        assert {user for user in USERS if names(user, "topic", operation) & set(TOPICS)} == {"topics"}
    assert names("topics", "topic", "Create") == set(TOPICS)


def test_nobody_has_a_right_on_everything() -> None:
    every = [(user, acl) for user, acls in USERS.items() for acl in acls]

    assert [(user, acl) for user, acl in every if "*" in acl.name or not acl.name] == []
    assert {(user, acl.name) for user, acl in every if acl.pattern == "prefixed"} == {
        ("quality", "onpoint-quality-run.drained-"),
        ("cdc", "cdc."),
        ("connect", "cdc."),
        ("connect", "onpoint-connect-onpoint-cdc-"),
        ("operator", "cdc."),
        ("airflow", "onpoint-airflow"),
    }
    assert [(user, acl.operations) for user, acl in every if acl.resource == "cluster"] == [
        ("lineage", ("IdempotentWrite",))
    ]


def test_no_literal_right_is_within_a_prefix_of_another_kind_of_topic() -> None:
    prefixes = {acl.name for acls in USERS.values() for acl in acls if acl.pattern == "prefixed"}

    assert [topic for topic in TOPICS if topic.startswith(tuple(prefixes))] == []


def test_each_resource_of_a_user_is_named_once() -> None:
    for acls in USERS.values():
        places = [(acl.resource, acl.name, acl.pattern) for acl in acls]
        assert len(places) == len(set(places))


def test_a_right_that_comes_with_another_is_not_named() -> None:
    assert [
        acl for acls in USERS.values() for acl in acls if {"Describe", "Read"} <= set(acl.operations)
    ] == []


def test_lineage_on_a_topic_writes_that_topic_and_needs_no_right_on_the_cluster() -> None:
    acls = users("lineage.events")["lineage"]

    assert Acl("topic", "lineage.events", ("Write",)) in acls
    assert not [acl for acl in acls if acl.resource == "cluster"]


def published_in(service: str) -> Iterator[str]:
    """The topics of the events that the service's code makes."""
    for file in (ROOT / "services" / service).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Outgoing":
                topic = node.args[0]
                assert isinstance(topic, ast.Attribute), f"{file}:{node.lineno}"
                yield getattr(topics, topic.attr)


def results_of(service: str) -> set[str]:
    """What the commit protocol publishes for a stage (shared/stages)."""
    return {entry.result_topic for entry in PIPELINE if entry.name == service} | (
        {topics.BATCH_FAILED} if service in STAGES else set()
    )


PAGE = ROOT / "docs/security.md"
HEAD = "| user | Read topics | Write topics | Read group | else |"


def table() -> str:
    """The rights of every user, as the page has them."""
    rows = [HEAD, "|---|---|---|---|---|"]
    for user in USERS:
        cells = [
            " ".join(f"`{each}`" for each in sorted(found))
            for found in (
                _patterns(user, "topic", "Read"),
                _patterns(user, "topic", "Write"),
                _patterns(user, "group", "Read"),
            )
        ]
        rows.append(f"| `{user}` | {' | '.join(cells)} | {_else(user)} |")
    return "\n".join(rows) + "\n"


def _patterns(user: str, resource: str, operation: Operation) -> set[str]:
    return {_pattern(acl) for acl in USERS[user] if acl.resource == resource and operation in acl.operations}


def _pattern(acl: Acl) -> str:
    return f"{acl.name}*" if acl.pattern == "prefixed" else acl.name


def _else(user: str) -> str:
    """What is neither Read nor Write of a topic, nor Read of a group."""
    found: dict[tuple[str, str], list[str]] = {}
    for acl in USERS[user]:
        usual = {"topic": {"Read", "Write"}, "group": {"Read"}}.get(acl.resource, set())
        if others := ", ".join(each for each in acl.operations if each not in usual):
            found.setdefault((others, acl.resource.replace("_", " ")), []).append(_pattern(acl))
    return "; ".join(
        f"{operations} on {_these(kind, names_)}" for (operations, kind), names_ in found.items()
    )


def _these(kind: str, found: list[str]) -> str:
    if kind == "cluster":
        return "the cluster"
    if kind == "topic" and set(found) == set(TOPICS):
        return "every topic of the pipeline"
    if len(found) > 5:
        return f"the other {kind}s of the pipeline"
    return f"{kind} {' '.join(f'`{each}`' for each in found)}"


def test_the_page_has_the_same_rights() -> None:
    text = PAGE.read_text(encoding="utf-8")

    assert table() in text, "write it anew: python -m tests.contract.test_acls"


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    start = page.index(HEAD)
    PAGE.write_text(page[:start] + table() + page[page.index("\n\n", start) + 1 :], encoding="utf-8")
