"""What each service says of itself: whether it is ready, and its figures of machine and work."""

import asyncio
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from shared.health.model import HealthCheck, Reading, at_most, check_of
from shared.health.targets import Target

TIMEOUT_S = 5.0
MAX_BYTES = 4 * 1024 * 1024
MAX_NOTE_CHARS = 200
MOST_REPLICAS = 50
"""Of one service; those beyond are not asked."""

CPU = "onpoint_machine_cpu_ratio"
MEMORY = "onpoint_memory_used_ratio"
DISK_FREE, DISK = "onpoint_scratch_free_bytes", "onpoint_scratch_bytes"
IN_HAND = "onpoint_work_in_hand"
_ASKED = frozenset({CPU, MEMORY, DISK_FREE, DISK, IN_HAND})


@dataclass(frozen=True, slots=True)
class ServiceFigures:
    """Of one process. `problem`: why it has none, or why it is not ready."""

    name: str
    answers: bool
    problem: str = ""
    values: dict[str, float] = field(default_factory=dict)


async def ask_services(targets: Sequence[Target]) -> list[ServiceFigures]:
    """All at once. Raises nothing: a service that does not answer says so by that. At most `TIMEOUT_S` each."""
    found = await asyncio.gather(*(_ask_each(target) for target in targets))
    return [figures for each in found for figures in each]


async def _ask_each(target: Target) -> list[ServiceFigures]:
    """A service's every replica: a name may have several addresses."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError):
        return [ServiceFigures(target.service, answers=False, problem=f"{target.host} has no address")]
    addresses = sorted({str(address[0]) for *_, address in found})[:MOST_REPLICAS]
    names = [target.service] if len(addresses) == 1 else [f"{target.service} {each}" for each in addresses]
    return list(
        await asyncio.gather(
            *(_ask(name, each, target.port) for name, each in zip(names, addresses, strict=True))
        )
    )


async def _ask(name: str, address: str, port: int) -> ServiceFigures:
    base = f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
            async with session.get(f"{base}/readyz", allow_redirects=False) as answer:
                text = (await answer.content.read(MAX_NOTE_CHARS * 4)).decode("utf-8", "replace")
                problem = "" if answer.status == HTTPStatus.OK else _line(text)
            async with session.get(f"{base}/metrics", allow_redirects=False) as answer:
                values = figures_of((await answer.content.read(MAX_BYTES)).decode("utf-8", "replace"))
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        return ServiceFigures(name, answers=False, problem=f"it does not answer: {type(error).__name__}")
    return ServiceFigures(name, answers=True, problem=problem, values=values)


def figures_of(exposition: str) -> dict[str, float]:
    """Raises `ValueError` for a text that is not Prometheus' format."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(exposition):
        if family.name in _ASKED:
            for sample in family.samples:
                found[sample.name] = sample.value
    return found


def resources(services: Iterable[ServiceFigures], used_limit: float) -> HealthCheck:
    """A service that does not answer has failed; one that is not ready, or whose machine is full, is a warning."""
    readings: list[Reading] = []
    for service in services:
        readings.append(_presence(service))
        if service.answers:
            readings += _used(service, used_limit)
    if not readings:
        note = "ONPOINT_HEALTH_SERVICES names no service"
        readings.append(Reading(item="services", status="NO_DATA", value=None, note=note))
    return check_of("resources", readings)


def _presence(service: ServiceFigures) -> Reading:
    if not service.answers:
        return Reading(item=service.name, status="FAILED", value=None, note=service.problem)
    in_hand = service.values.get(IN_HAND)
    note = f"not ready: {service.problem}" if service.problem else ""
    status = "WARNING" if service.problem else "HEALTHY"
    return Reading(item=service.name, status=status, value=in_hand, unit="in hand", note=note)


def _used(service: ServiceFigures, limit: float) -> list[Reading]:
    values = service.values
    shares = {"cpu": values.get(CPU), "memory": values.get(MEMORY)}
    if size := values.get(DISK):
        shares["disk"] = 1 - values.get(DISK_FREE, 0.0) / size
    return [
        at_most(
            f"{service.name} {name}", share, limit, unit="ratio", note="" if share is not None else "not told"
        )
        for name, share in shares.items()
    ]


def _line(text: str) -> str:
    shown = "".join(c if c.isprintable() else " " for c in text.replace("\n", "; "))
    return " ".join(shown.split())[:MAX_NOTE_CHARS]
