"""What policies allow is read as a cluster would enforce it."""

from typing import Any

import pytest

from tests.deploy.graph.policies import ANY_PORT, ANYWHERE, Edge, connections, matches

PROMETHEUS = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}


def pods(name: str, *ports: tuple[str, int]) -> dict[str, Any]:
    """A Deployment whose pods have their name as their only label."""
    container = {"name": name, "ports": [{"name": key, "containerPort": port} for key, port in ports]}
    return {
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "onpoint"},
        "spec": {"template": {"metadata": {"labels": {"name": name}}, "spec": {"containers": [container]}}},
    }


def of(name: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": {"name": name}}}


def policy(selected: dict[str, Any], **rules: list[dict[str, Any]]) -> dict[str, Any]:
    """Both ways are restricted to the rules."""
    spec = {**selected, "policyTypes": ["Ingress", "Egress"], **rules}
    return {"kind": "NetworkPolicy", "metadata": {"name": "a", "namespace": "onpoint"}, "spec": spec}


DENY = policy({"podSelector": {}})
A, B = pods("a"), pods("b", ("http", 8080))


def test_without_a_policy_everything_is_open() -> None:
    found = connections([A])
    assert found.open == {
        Edge("a", "a", ANY_PORT), Edge("a", ANYWHERE, ANY_PORT), Edge(ANYWHERE, "a", ANY_PORT),
    }  # fmt: skip


def test_a_default_deny_closes_everything() -> None:
    assert connections([A, B, DENY]).open == set()


def test_an_edge_is_open_where_both_ends_allow_it() -> None:
    out = policy(of("a"), egress=[{"to": [of("b")], "ports": [{"port": 8080}]}])
    into = policy(of("b"), ingress=[{"from": [of("a")], "ports": [{"port": 8080}]}])
    found = connections([A, B, DENY, out, into])
    assert (found.open, found.half_open) == ({Edge("a", "b", "8080")}, set())


def test_an_edge_that_one_end_refuses_is_half_open() -> None:
    out = policy(of("a"), egress=[{"to": [of("b")], "ports": [{"port": 8080}]}])
    found = connections([A, B, DENY, out])
    assert (found.open, found.half_open) == (set(), {Edge("a", "b", "8080")})


def test_a_named_port_is_that_of_the_pods_that_are_reached() -> None:
    out = policy(of("a"), egress=[{"to": [of("b")], "ports": [{"port": "http"}]}])
    into = policy(of("b"), ingress=[{"from": [of("a")], "ports": [{"port": "http"}]}])
    assert connections([A, B, DENY, out, into]).open == {Edge("a", "b", "8080")}


def test_pods_of_another_namespace_are_named_by_their_selector() -> None:
    into = policy(
        of("b"), ingress=[{"from": [{**PROMETHEUS, **of("prometheus")}], "ports": [{"port": 8080}]}]
    )
    assert connections([B, DENY, into]).open == {Edge("monitoring/name=prometheus", "b", "8080")}


def test_a_selector_without_a_namespace_means_its_own() -> None:
    out = policy(of("a"), egress=[{"to": [of("b")]}])
    elsewhere = pods("b")
    elsewhere["metadata"]["namespace"] = "other"
    assert connections([A, elsewhere, DENY, out]).open - {
        Edge("b", each, ANY_PORT) for each in ("a", "b", ANYWHERE)
    } - {Edge(each, "b", ANY_PORT) for each in (ANYWHERE,)} == {Edge("a", "onpoint/name=b", ANY_PORT)}


def test_a_range_of_ports_is_one_edge() -> None:
    out = policy(of("a"), egress=[{"to": [of("c")], "ports": [{"port": 1024, "endPort": 65535}]}])
    assert connections([A, DENY, out]).open == {Edge("a", "onpoint/name=c", "1024-65535")}


def test_addresses_are_named_with_what_is_left_out() -> None:
    block = {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}
    out = policy(of("a"), egress=[{"to": [block], "ports": [{"port": 443}]}])
    assert connections([A, DENY, out]).open == {Edge("a", "0.0.0.0/0 without 10.0.0.0/8", "443")}


def test_a_rule_without_peers_is_open_to_all() -> None:
    out = policy(of("a"), egress=[{"ports": [{"port": 53}]}])
    assert Edge("a", ANYWHERE, "53") in connections([A, DENY, out]).open


@pytest.mark.parametrize(
    ("operator", "values", "matching"),
    [("In", ["a", "b"], True), ("NotIn", ["a"], False), ("Exists", [], True), ("DoesNotExist", [], False)],
)
def test_expressions_select_as_kubernetes_has_it(operator: str, values: list[str], *, matching: bool) -> None:
    selector = {"matchExpressions": [{"key": "name", "operator": operator, "values": values}]}
    assert matches(selector, {"name": "a"}) is matching


def test_an_operator_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no such operator: 'Is'"):
        matches({"matchExpressions": [{"key": "name", "operator": "Is"}]}, {})
