"""I10: what the services' processes use, now and in a snapshot taken before."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from console.client.errors import InvalidRequestError
from console.verify.database import as_client_errors
from console.verify.findings import Findings

MIB = 2**20
RATIO = 0.10
SLACK: Mapping[str, float] = {
    # A service keeps what its largest batch needed: the allocator gives pages back late (measured: up to 60 MiB).
    "rss_bytes": 96 * MIB,
    # Connections to the broker, the store and PostgreSQL that were open by chance at one of both moments.
    "fds": 16,
    # Threads of the pools of asyncio, Arrow, polars and obstore are made when first needed, and stay.
    "threads": 24,
    # A pool opens more connections under load and closes them when they have been idle for a while.
    "connections": 4,
}
"""A growth up to this is not a leak: it does not grow with the work done."""


@dataclass(frozen=True, slots=True)
class ServiceProcess:
    name: str
    restarts: int
    """Since the stack was started."""
    process: psutil.Process


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a service's process at one moment."""

    pid: int
    restarts: int
    rss_bytes: int
    fds: int
    threads: int
    connections: int
    """To PostgreSQL."""


async def snapshot(connection: asyncpg.Connection, processes: Sequence[ServiceProcess]) -> dict[str, Usage]:
    """What each service uses, by its name."""
    with as_client_errors():
        rows = await connection.fetch("SELECT client_port FROM pg_stat_activity WHERE client_port > 0")
    ports = {row["client_port"] for row in rows}
    return {one.name: await asyncio.to_thread(_usage, one.process, one.restarts, ports) for one in processes}


def _usage(process: psutil.Process, restarts: int, ports: AbstractSet[int]) -> Usage:
    """`ports`: of PostgreSQL's clients; a connection from one of them leads to PostgreSQL."""
    with process.oneshot():
        connections = [c for c in process.net_connections("tcp") if c.laddr and c.laddr.port in ports]
        return Usage(
            process.pid, restarts, process.memory_info().rss, process.num_fds(), process.num_threads(),
            len(connections),
        )  # fmt: skip


def as_json(usages: Mapping[str, Usage]) -> dict[str, Any]:
    """As `read_baseline` reads it."""
    return {name: asdict(usage) for name, usage in usages.items()}


def read_baseline(path: Path) -> dict[str, Usage]:
    """Raises `InvalidRequestError` for what no `--snapshot` has written."""
    try:
        return {name: Usage(**usage) for name, usage in json.loads(path.read_text(encoding="utf-8")).items()}
    except OSError as error:
        raise InvalidRequestError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidRequestError(f"{path} is not a snapshot: {error}") from error


def check_processes(
    before: Mapping[str, Usage], after: Mapping[str, Usage], expected_restarts: int, findings: Findings
) -> None:
    """What a process uses may be `RATIO` or its `SLACK` above the baseline, whichever is more."""
    for name, usage in before.items():
        now = after.get(name)
        if not findings.require("I10", now is not None, f"process {name}", "it is gone") or now is None:
            continue
        for what, slack in SLACK.items():
            was, has = getattr(usage, what), getattr(now, what)
            most = max(was * (1 + RATIO), was + slack)
            findings.require("I10", has <= most, f"process {name}", f"{what} is {has:,}, it was {was:,}")
    restarts = sum(after[name].restarts - usage.restarts for name, usage in before.items() if name in after)
    findings.require(
        "I10",
        restarts <= expected_restarts,
        ", ".join(
            f"process {name}"
            for name, u in before.items()
            if name in after and after[name].restarts > u.restarts
        )
        or "the processes",
        f"{restarts} of them ended by themselves, {expected_restarts} were to",
    )
