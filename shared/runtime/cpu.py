"""How many cores this process may use, by its cgroup or else by the machine."""

import os
from pathlib import Path

from shared.runtime.memory import CGROUP


def limit_cores(cgroup: Path = CGROUP) -> float:
    """The quota of the cgroup (version 2 or 1) where it is below the cores that the process may run on, else those."""
    cores = (
        float(len(os.sched_getaffinity(0)))
        if hasattr(os, "sched_getaffinity")
        else float(os.cpu_count() or 1)
    )
    return min([cores, *_quotas(cgroup)])


def _quotas(cgroup: Path) -> list[float]:
    """At most one: of the version that the machine has."""
    texts = [
        _text(cgroup / "cpu.max"),
        f"{_text(cgroup / 'cpu' / 'cpu.cfs_quota_us')} {_text(cgroup / 'cpu' / 'cpu.cfs_period_us')}",
    ]
    found = []
    for text in texts:
        quota, _, period = text.partition(" ")
        if quota.isdigit() and period.isdigit() and int(quota) and int(period):
            found.append(int(quota) / int(period))
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError:
        return ""
