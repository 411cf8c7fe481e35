"""The processes of the pipeline in the cluster: what each runs, needs and calls. A new one is one entry of `WORKLOADS`."""

from dataclasses import dataclass
from typing import Final

from shared.bus.subscriptions import DRAIN_S
from shared.events.topology import SERVICES

HTTP_PORT: Final = 8080
"""Of health and metrics, as the image has it."""

AFTER_DRAIN_S: Final = 10
"""What follows a drain (closing clients, the last traces), and what a node is slow by."""

MEMORY_LIMIT_MIB: Final = 1024
"""One for all: the crawler cuts batches by the memory of its own container, and every service must have room for one."""


@dataclass(frozen=True, slots=True)
class Resources:
    """Requests follow docs/performance.md: cores at the measured rate, rounded up; the measured peak is 60 % of the memory.

    So a service at that rate stays below the 70 % and 80 % at which an autoscaler adds a replica.
    """

    cpu_m: int
    """Thousandths of a core that are requested."""
    memory_mib: int
    cpu_limit_m: int = 1000
    memory_limit_mib: int = MEMORY_LIMIT_MIB


@dataclass(frozen=True, slots=True)
class Workload:
    """One process. Its name is that of its Deployment, Service, ServiceAccount and label."""

    name: str
    command: tuple[str, ...]
    resources: Resources
    kafka_user: str | None = None
    """Its user in `shared.events.access`; None: it has no way to Kafka."""
    postgres: bool = False
    store: bool = False
    calls: tuple[str, ...] = ()
    """Workloads whose port `http` it asks."""
    internet: bool = False
    serves_people: bool = False
    """True: something outside of the pipeline asks it through its Service, so it waits before it ends."""
    replicas: int | None = None
    """None: an autoscaler owns the number."""
    drain_s: float = DRAIN_S


def _module(name: str) -> tuple[str, ...]:
    return ("python", "-m", name)


def _service(name: str, resources: Resources, *, postgres: bool = False, **more: object) -> Workload:
    return Workload(
        name,
        _module(f"services.{name}.app"),
        resources,
        kafka_user=name,
        postgres=postgres,
        store=True,
        **more,  # type: ignore[arg-type]  # fields of Workload
    )


PIPELINE: Final = (
    _service("crawler", Resources(250, 256), internet=True),
    # Batches are parsed in threads: two at a time use two cores.
    _service("processor", Resources(500, 512, cpu_limit_m=2000)),
    _service("converter", Resources(300, 640, cpu_limit_m=2000)),
    _service("loader", Resources(250, 448), postgres=True),
    _service("s3sink", Resources(200, 384), postgres=True),
    _service("quality", Resources(100, 192), postgres=True, calls=SERVICES, serves_people=True),
)
"""The six services, in the order of the topology."""

CAPTURE: Final = Workload(
    "s3sink-cdc",
    _module("services.s3sink.cdc"),
    Resources(250, 512),
    kafka_user="cdc",
    postgres=True,
    store=True,
    replicas=2,
)

LINEAGE: Final = Workload(
    "quality-lineage",
    _module("services.quality.lineage"),
    Resources(50, 192),
    kafka_user="lineage",
    # It names tables by the database's address, and does not connect.
    postgres=True,
    store=True,
    replicas=1,
)

CONSOLE: Final = Workload(
    "console",
    # It waits for `kubectl exec`.
    ("sleep", "infinity"),
    Resources(50, 256),
    kafka_user="operator",
    postgres=True,
    store=True,
    calls=SERVICES,
    replicas=1,
    drain_s=0,
)

DASK_WORKER: Final = Workload(
    "dask-worker",
    _module("services.processor.cluster.app"),
    # ONPOINT_DASK_WORKER_MEMORY_MIB, and the interpreter beside it.
    Resources(500, 512, cpu_limit_m=1000, memory_limit_mib=1536),
    store=True,
)

WORKLOADS: Final = (*PIPELINE, CAPTURE, LINEAGE, CONSOLE, DASK_WORKER)


def callers_of(name: str) -> tuple[str, ...]:
    """The workloads that ask it."""
    return tuple(workload.name for workload in WORKLOADS if name in workload.calls)
