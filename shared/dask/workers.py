"""Which workers of the cluster may have a batch, by what the scheduler says of them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.dask.versions import differences, fingerprint

VERSIONS_FIELD = "onpoint_versions"
"""Of a worker, in what it tells the scheduler when it joins."""


def resource_of(versions: Mapping[str, str]) -> str:
    """The resource that a worker of these versions has, one for each thread, and that a batch needs.

    The scheduler gives a batch to no other worker, and to none that has as many in hand as threads.
    """
    return f"onpoint-{fingerprint(versions)}"


@dataclass(frozen=True, slots=True)
class Crew:
    """The workers of one moment, as seen by a processor of certain versions."""

    members: int
    """Workers of these versions, at work or not."""
    slots: int
    """Batches that those which are at work can have in hand together."""
    problem: str
    """Why there is no slot, for people."""


def crew_of(workers: Mapping[str, Mapping[str, Any]], own: Mapping[str, str]) -> Crew:
    """`workers` is the scheduler's own description of them, by address."""
    wanted = resource_of(own)
    able = {address: worker for address, worker in workers.items() if worker["resources"].get(wanted)}
    slots = sum(int(worker["resources"][wanted]) for worker in able.values() if worker["status"] == "running")
    return Crew(len(able), slots, "" if slots else _problem(workers, able, own))


def _problem(
    workers: Mapping[str, Mapping[str, Any]], able: Mapping[str, Mapping[str, Any]], own: Mapping[str, str]
) -> str:
    if not workers:
        return "the Dask cluster has no worker"
    if able:
        states = sorted({worker["status"] for worker in able.values()})
        return f"all {len(able)} workers of the Dask cluster stand still ({', '.join(states)}): paused is out of memory"
    address, worker = next(iter(workers.items()))
    versions = worker.get(VERSIONS_FIELD)
    if not isinstance(versions, Mapping):
        return f"worker {address} of the Dask cluster is not one of OnPoint"
    return f"worker {address} of the Dask cluster would write other bytes: {differences(own, versions)}"
