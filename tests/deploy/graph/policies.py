"""What NetworkPolicies allow, as a cluster that enforces them would decide it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tests.deploy.cluster.api import Object, of_kind
from tests.deploy.graph.places import NAMESPACE_NAME, Place, places

Way = Literal["ingress", "egress"]
PEERS: Final[Mapping[Way, str]] = {"ingress": "from", "egress": "to"}
ANY_PORT: Final = "any"
ANYWHERE: Final = "anywhere"


@dataclass(frozen=True, order=True)
class Edge:
    """A connection that may be opened. An end outside the overlay is named by the selector that lets it in."""

    source: str
    target: str
    port: str
    """A number, a range, or `any`."""


@dataclass
class Connections:
    """What the policies of an overlay allow, all told."""

    open: set[Edge] = field(default_factory=set)
    half_open: set[Edge] = field(default_factory=set)
    """Allowed at one end and refused at the other: of no use, and a sign of a mistake."""


def connections(objects: Sequence[Object]) -> Connections:
    """Every edge between the overlay's pods, and between them and the world."""
    policies = tuple(of_kind(objects, "NetworkPolicy"))
    inside = places(objects)
    namespaces = _namespaces(objects)
    out = {edge for place in inside for edge in _edges(place, "egress", policies, inside, namespaces)}
    into = {edge for place in inside for edge in _edges(place, "ingress", policies, inside, namespaces)}
    names = {place.name for place in inside}
    between = {edge for edge in out | into if {edge.source, edge.target} <= names}
    return Connections(
        open={edge for edge in out | into if edge not in between or (edge in out and edge in into)},
        half_open={edge for edge in between if not (edge in out and edge in into)},
    )


def _edges(
    place: Place,
    way: Way,
    policies: Sequence[Object],
    inside: Sequence[Place],
    namespaces: Mapping[str, Mapping[str, str]],
) -> Iterator[Edge]:
    selecting = [policy for policy in policies if _selects(policy, place) and way in _ways(policy)]
    if not selecting:
        # No policy speaks of it: everything is allowed.
        yield from (
            _edge(place.name, other, ANY_PORT, way) for other in (*(p.name for p in inside), ANYWHERE)
        )
    for policy in selecting:
        for rule in policy["spec"].get(way) or ():
            for other, ports in _ends(rule, place, way, policy, inside, namespaces):
                yield from (_edge(place.name, other, port, way) for port in ports)


def _ends(
    rule: Mapping[str, Any],
    place: Place,
    way: Way,
    policy: Object,
    inside: Sequence[Place],
    namespaces: Mapping[str, Mapping[str, str]],
) -> Iterator[tuple[str, list[str]]]:
    """The other ends of a rule, each with the ports of the one that is connected to."""
    peers = rule.get(PEERS[way])
    if not peers:
        for other in inside:
            yield other.name, _ports(rule, other if way == "egress" else place)
        yield ANYWHERE, _ports(rule, place)
        return
    for peer in peers:
        matching = [
            each for each in inside if _is_peer(peer, each, policy["metadata"]["namespace"], namespaces)
        ]
        for other in matching:
            yield other.name, _ports(rule, other if way == "egress" else place)
        if not matching:
            yield _outside(peer, policy["metadata"]["namespace"]), _ports(rule, place)


def _edge(place: str, other: str, port: str, way: Way) -> Edge:
    return Edge(place, other, port) if way == "egress" else Edge(other, place, port)


def _ways(policy: Object) -> list[Way]:
    spec = policy["spec"]
    default: list[Way] = ["ingress", "egress"] if spec.get("egress") else ["ingress"]
    return [each.lower() for each in spec["policyTypes"]] if "policyTypes" in spec else default


def _selects(policy: Object, place: Place) -> bool:
    same = policy["metadata"]["namespace"] == place.namespace
    return same and matches(policy["spec"].get("podSelector") or {}, place.labels)


def _is_peer(
    peer: Mapping[str, Any], place: Place, own_namespace: str, namespaces: Mapping[str, Mapping[str, str]]
) -> bool:
    if "ipBlock" in peer:
        return False
    if "namespaceSelector" in peer:
        if not matches(peer["namespaceSelector"], namespaces.get(place.namespace, {})):
            return False
    elif place.namespace != own_namespace:
        return False
    return matches(peer.get("podSelector") or {}, place.labels)


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """As Kubernetes has it: an empty selector matches everything."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(each, labels) for each in selector.get("matchExpressions") or ())


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    found, values = labels.get(expression["key"]), expression.get("values", ())
    match expression["operator"]:
        case "In":
            return found in values
        case "NotIn":
            return found not in values
        case "Exists":
            return found is not None
        case "DoesNotExist":
            return found is None
    raise ValueError(f"no such operator: {expression['operator']!r}")


def _ports(rule: Mapping[str, Any], place: Place) -> list[str]:
    """A port that is named is the target's own."""
    ports = rule.get("ports")
    if not ports:
        return [ANY_PORT]
    return [_port(each, place) for each in ports]


def _port(rule: Mapping[str, Any], place: Place) -> str:
    port = rule["port"]
    first = port if isinstance(port, int) else place.ports[port]
    return f"{first}-{rule['endPort']}" if "endPort" in rule else str(first)


def _outside(peer: Mapping[str, Any], own_namespace: str) -> str:
    """A name for pods and addresses that the overlay does not have."""
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        excepted = ",".join(block.get("except", ()))
        return str(block["cidr"]) + (f" without {excepted}" if excepted else "")
    where = _spelled(peer["namespaceSelector"]) if "namespaceSelector" in peer else own_namespace
    return f"{where}/{_spelled(peer.get('podSelector') or {})}"


def _spelled(selector: Mapping[str, Any]) -> str:
    labels = (selector.get("matchLabels") or {}).items()
    exact = [value if key == NAMESPACE_NAME else f"{key}={value}" for key, value in labels]
    expressions = [
        f"{each['key']} {each['operator']} {','.join(each.get('values', ()))}".strip()
        for each in selector.get("matchExpressions") or ()
    ]
    return ",".join(sorted([*exact, *expressions])) or "*"


def _namespaces(objects: Sequence[Object]) -> dict[str, dict[str, str]]:
    """The labels of each namespace; every namespace has its name as one."""
    found = {place.namespace: {NAMESPACE_NAME: place.namespace} for place in places(objects)}
    for namespace in of_kind(objects, "Namespace"):
        name = namespace["metadata"]["name"]
        found[name] = {**namespace["metadata"].get("labels", {}), NAMESPACE_NAME: name}
    return found
