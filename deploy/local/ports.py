"""Which ports the stack uses, who may change them, and whether they are free."""

import errno
import json
import random
import socket
from collections.abc import Collection, Iterable, Mapping

import psutil
from pydantic import BaseModel, ConfigDict

from deploy.local.errors import PortTakenError, StackError
from deploy.local.home import Home, write_private
from shared.events.topology import SERVICES

HOST = "127.0.0.1"
FREE_RANGE = range(15_000, 32_000)
"""Below the range from which Linux takes ports for outgoing connections, so a port we leave stays free."""
DASK_FIELDS = {"dask", "dask_dashboard"}
CDC_FIELDS = {"kafka_connect", "s3sink_cdc"}
OBSERVE_FIELDS = {"prometheus", "alertmanager"}
MIN_PORT, MAX_PORT = 1024, 65_535
PICK_ATTEMPTS = 1000


class Ports(BaseModel):
    """Every port that a process of the stack listens on, all on 127.0.0.1.

    The environment variable `ONPOINT_PORT_<FIELD>` sets a port.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kafka: int = 29092
    kafka_controller: int = 29093
    postgres: int = 25432
    s3: int = 28333
    s3_grpc: int = 28334
    weed_master: int = 28340
    weed_master_grpc: int = 28341
    weed_volume: int = 28342
    weed_volume_grpc: int = 28343
    weed_filer: int = 28344
    weed_filer_grpc: int = 28345
    crawler: int = 28001
    processor: int = 28002
    converter: int = 28003
    loader: int = 28004
    s3sink: int = 28005
    quality: int = 28006
    kafka_connect: int = 28083
    s3sink_cdc: int = 28007
    dask: int = 28786
    dask_dashboard: int = 28787
    prometheus: int = 28090
    alertmanager: int = 28093

    def of(self, name: str) -> int:
        """The port by which people know a component or service."""
        return int(getattr(self, "s3" if name == "seaweedfs" else name.replace("-", "_")))


def setting_of(field: str) -> str:
    """The environment variable that changes a port."""
    return f"ONPOINT_PORT_{field.upper()}"


def dashboard_url(ports: Ports) -> str:
    """Of the dashboard of the stack's own Dask cluster."""
    return f"http://{HOST}:{ports.dask_dashboard}/status"


def prometheus_url(ports: Ports) -> str:
    """Of the page on which Prometheus answers questions."""
    return f"http://{HOST}:{ports.prometheus}/"


def choose(home: Home, environ: Mapping[str, str]) -> Ports:
    """The ports of the next start: the environment's; for the rest free ones (`ONPOINT_PORTS=free`) or the
    defaults.

    A home that once had free ports keeps them until it is wiped; of those only the ones that were taken
    meanwhile are picked anew. Raises `StackError` for a value that is not a port, or for one port named twice.
    """
    mode = environ.get("ONPOINT_PORTS", "")
    if mode not in {"", "free", "default"}:
        raise StackError(f"ONPOINT_PORTS is {mode!r}: it may be `free` or `default`")
    explicit = _explicit(environ)
    free = mode == "free" or (mode == "" and home.ports_file.exists())
    ports = _free(home, explicit) if free else Ports(**explicit)
    _refuse_duplicates(ports)
    return ports


def require_free(
    ports: Ports, *, services: Iterable[str], dask: bool = False, cdc: bool = False, observe: bool = False
) -> None:
    """Raise `PortTakenError` naming every taken port of the components, these services and what else is asked for.

    The message names the process that listens there, if it is known, and the setting that changes the port.
    """
    optional = ((dask, DASK_FIELDS), (cdc, CDC_FIELDS), (observe, OBSERVE_FIELDS))
    left_out = set(SERVICES).union(*(fields for asked, fields in optional if not asked))
    wanted = set(Ports.model_fields) - left_out | set(services)
    taken = [
        (name, port) for name, port in ports.model_dump().items() if name in wanted and not is_free(port)
    ]
    if not taken:
        return
    holders = _listeners()
    lines = [
        f"port {port} ({name}) is taken{holders.get(port, '')}: set {setting_of(name)} to another"
        for name, port in taken
    ]
    lines.append("or let the stack pick free ports with ONPOINT_PORTS=free")
    raise PortTakenError("\n".join(lines))


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now; connections in TIME_WAIT do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((HOST, port))
            candidate.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
        return True


def _explicit(environ: Mapping[str, str]) -> dict[str, int]:
    explicit: dict[str, int] = {}
    for field in Ports.model_fields:
        text = environ.get(setting_of(field))
        if not text:
            continue
        if not text.isascii() or not text.isdigit() or not MIN_PORT <= int(text) <= MAX_PORT:
            raise StackError(
                f"{setting_of(field)} is {text!r}: it must be a port from {MIN_PORT} to {MAX_PORT}"
            )
        explicit[field] = int(text)
    return explicit


def _free(home: Home, explicit: dict[str, int]) -> Ports:
    recorded = _recorded(home)
    free = {name: port for name, port in recorded.items() if name not in explicit and is_free(port)}
    used = set(explicit.values()) | set(free.values())
    for field in Ports.model_fields:
        if field not in explicit and field not in free:
            free[field] = free_port(used)
            used.add(free[field])
    write_private(home.ports_file, json.dumps(recorded | free, indent=2))
    return Ports(**{**free, **explicit})


def _recorded(home: Home) -> dict[str, int]:
    try:
        found = json.loads(home.ports_file.read_text())
        return {name: int(found[name]) for name in Ports.model_fields if name in found}
    except (OSError, ValueError, TypeError):
        return {}


def free_port(used: Collection[int] = ()) -> int:
    """A port of this machine without a listener. Raises `StackError` if none is found."""
    for _ in range(PICK_ATTEMPTS):
        port = random.choice(FREE_RANGE)  # noqa: S311  (not a secret)
        if port not in used and is_free(port):
            return port
    raise StackError(f"found no free port between {FREE_RANGE.start} and {FREE_RANGE.stop}")


def free_ports(number: int, chosen: Ports) -> tuple[int, ...]:
    """That many ports of this machine beside the chosen ones. Raises `StackError` if there are not enough."""
    used = set(chosen.model_dump().values())
    found: list[int] = []
    for _ in range(number):
        found.append(free_port(used))
        used.add(found[-1])
    return tuple(found)


def _refuse_duplicates(ports: Ports) -> None:
    owners: dict[int, str] = {}
    for name, port in ports.model_dump().items():
        if port in owners:
            raise StackError(
                f"{setting_of(owners[port])} and {setting_of(name)} are both {port}: they must differ"
            )
        owners[port] = name


def _listeners() -> dict[int, str]:
    """For each listening port a phrase that names its process; empty where the system does not tell us."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return {}
    holders: dict[int, str] = {}
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.pid and connection.laddr:
            holders[connection.laddr.port] = _holder(connection.pid)
    return holders


def _holder(pid: int) -> str:
    try:
        return f" by {psutil.Process(pid).name()} (pid {pid})"
    except psutil.Error:
        return f" by pid {pid}"
