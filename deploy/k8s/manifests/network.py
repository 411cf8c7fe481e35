"""The network policy of a workload: the edges between workloads, and who watches.

Ways to Kafka, PostgreSQL and the object store depend on where these are: each overlay's components bring them, for
the pods that have their labels.
"""

from typing import Final

from deploy.k8s.manifests.objects import PART_OF, Object, metadata, selector
from deploy.k8s.manifests.workloads import HTTP_PORT, Workload, callers_of

PROMETHEUS: Final = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}},
    "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
}
SOURCE_PORTS: Final = (80, 443)
"""Where sources answer. An overlay that crawls others adds them in a policy of its own."""

NOT_PUBLIC: Final = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
)
"""What the crawler refuses by itself (shared/net/addresses.py), once more outside of its process: IPv4 only, so that a
source with an IPv6 address alone is not reached."""


def policy(name: str, pods: Object, ingress: list[Object], egress: list[Object]) -> Object:
    """Both ways are closed but for the rules. An empty list is left out: the API server would see a change in each apply."""
    rules = {way: each for way, each in (("ingress", ingress), ("egress", egress)) if each}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "labels": {PART_OF: "onpoint"}},
        "spec": {
            "podSelector": pods,
            "policyTypes": ["Ingress", "Egress"],
            **rules,
        },
    }


def pod(name: str) -> Object:
    return {"podSelector": selector(name)}


def ports(*numbers: int) -> list[Object]:
    return [{"protocol": "TCP", "port": number} for number in numbers]


def policy_of(workload: Workload) -> Object:
    """Both ends of each edge are said: of its callers and of what it calls."""
    callers = [PROMETHEUS, *map(pod, callers_of(workload.name))]
    ingress = [] if workload.name == "console" else [{"from": callers, "ports": ports(HTTP_PORT)}]
    egress: list[Object] = []
    if called := [pod(name) for name in workload.calls]:
        egress.append({"to": called, "ports": ports(HTTP_PORT)})
    if workload.internet:
        public = {"ipBlock": {"cidr": "0.0.0.0/0", "except": list(NOT_PUBLIC)}}
        egress.append({"to": [public], "ports": ports(*SOURCE_PORTS)})
    return policy(metadata(workload.name)["name"], selector(workload.name), ingress, egress)
