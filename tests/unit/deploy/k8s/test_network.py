"""The way out of the crawler: everything public, and nothing else."""

import itertools
from ipaddress import IPv4Address, IPv4Network

import pytest

from deploy.k8s.manifests.network import NOT_PUBLIC, policy_of
from deploy.k8s.manifests.workloads import PIPELINE, WORKLOADS
from shared.net.addresses import is_public

NETWORKS = [IPv4Network(each) for each in NOT_PUBLIC]
CRAWLER = PIPELINE[0]


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_what_is_left_out_is_not_public(network: IPv4Network) -> None:
    # Python counts two addresses of 192.0.0.0/24 as public, and the crawler does not.
    assert not is_public(network[0])
    assert not is_public(network[-1])


def test_what_is_beside_it_is_public() -> None:
    edges = itertools.chain.from_iterable(
        (int(network[0]) - 1, int(network[-1]) + 1)
        for network in NETWORKS
        if int(network[0]) and network[-1] != IPv4Address("255.255.255.255")
    )
    beside = [IPv4Address(edge) for edge in edges]
    outside = [address for address in beside if not any(address in network for network in NETWORKS)]
    assert outside
    assert [address for address in outside if not is_public(address)] == []


def test_only_the_crawler_has_a_way_to_the_internet() -> None:
    with_addresses = [each.name for each in WORKLOADS if "ipBlock" in str(policy_of(each))]
    assert with_addresses == [CRAWLER.name]


def test_every_edge_has_both_ends() -> None:
    calls = {(workload.name, called) for workload in WORKLOADS for called in workload.calls}
    let_in = {
        (peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"], workload.name)
        for workload in WORKLOADS
        for rule in policy_of(workload)["spec"].get("ingress", ())
        for peer in rule["from"]
        if "namespaceSelector" not in peer
    }
    assert calls == let_in
