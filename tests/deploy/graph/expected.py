"""The edges that the pipeline needs, derived from its code: no manifest is read here but for what an overlay has."""

from collections.abc import Collection, Iterator
from typing import Final

from shared.events import access
from shared.events.topology import SERVICES
from tests.deploy.environment import ROOT
from tests.deploy.graph.policies import Edge

PROCESS_OF_USER: Final = {
    **{service: service for service in SERVICES},
    "cdc": "s3sink-cdc",
    "lineage": "quality-lineage",
    "connect": "connect",
    "operator": "console",
    "topics": "topics",
}
"""Who connects to Kafka, by its user in `shared.events.access`."""

OUTSIDE: Final = {"airflow", "console"}
"""Users of Kafka that run elsewhere: Airflow in its own namespace, the client on people's machines."""

KEEPS_STATE: Final = frozenset(
    service for service in SERVICES if (ROOT / "services" / service / "sql").exists()
)
"""Services with tables of their own."""

POSTGRES_CLIENTS: Final = KEEPS_STATE | {"migrate", "console", "s3sink-cdc", "quality-lineage", "connect"}
STORE_CLIENTS: Final = {*SERVICES, "s3sink-cdc", "quality-lineage", "console", "dask-worker", "buckets"}
ANSWERS: Final = {*SERVICES, "s3sink-cdc", "quality-lineage", "dask-worker"}
"""Processes with health and metrics over HTTP."""

HTTP, DASK, DASK_WORKER, CONNECT = "8080", "8786", "1024-65535", "8083"
DNS: Final = "kube-system/k8s-app=kube-dns"
PROMETHEUS: Final = "monitoring/app.kubernetes.io/name=prometheus"
INTERNET: Final = "internet"
KAFKA, POSTGRES, STORE = "kafka", "postgres", "store"


def expected(processes: Collection[str], kafka_port: str, store_port: str) -> set[Edge]:
    """The edges among those processes, and between them and Kafka, PostgreSQL, the store, DNS and Prometheus."""
    every = [
        *_to_infrastructure(kafka_port, store_port),
        *_to_processes(),
        *(Edge(process, DNS, "53") for process in processes),
    ]
    return {edge for edge in every if {edge.source, edge.target} <= {*processes, *WORLD}}


WORLD: Final = {DNS, PROMETHEUS, INTERNET, KAFKA, POSTGRES, STORE}


def users_without_a_process() -> set[str]:
    """None, unless a user is added and its process is not said here."""
    return set(access.users()) - set(PROCESS_OF_USER) - OUTSIDE


def _to_infrastructure(kafka_port: str, store_port: str) -> Iterator[Edge]:
    yield from (Edge(process, KAFKA, kafka_port) for process in PROCESS_OF_USER.values())
    yield from (Edge(process, POSTGRES, "5432") for process in POSTGRES_CLIENTS)
    yield from (Edge(process, STORE, store_port) for process in STORE_CLIENTS)
    yield from (Edge("crawler", INTERNET, port) for port in ("80", "443"))


def _to_processes() -> Iterator[Edge]:
    """The pipeline's own edges are topics: over the network only health, metrics, Dask and Connect are asked."""
    for service in SERVICES:
        yield from (Edge(caller, service, HTTP) for caller in ("quality", "console"))
    yield from (Edge(PROMETHEUS, process, HTTP) for process in ANSWERS)
    yield from (Edge(caller, "dask-scheduler", DASK) for caller in ("processor", "console", "dask-worker"))
    yield from (Edge(caller, "dask-worker", DASK_WORKER) for caller in ("dask-scheduler", "dask-worker"))
    yield from (Edge(caller, "connect", CONNECT) for caller in ("console", "connect"))
