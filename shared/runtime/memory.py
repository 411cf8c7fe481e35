"""How much memory this process may use, by its cgroup or else by the machine, and how much of it is in use."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")

SHARE: Final = 0.25
"""Of what is available, for one batch: a service has several in hand at once, and needs memory for much else."""

ROW_BYTES: Final = 10_240
"""What a row of about 500 bytes costs while its batch is in hand, as JSON, Arrow, Parquet and COPY, with room to spare."""

MIN_ROWS, MAX_ROWS = 1_000, 100_000

TIGHT: Final = 0.8
"""From this share of the limit on nothing new is begun."""


@dataclass(frozen=True, slots=True)
class Memory:
    limit_bytes: int
    used_bytes: int

    @property
    def is_tight(self) -> bool:
        return self.used_bytes > TIGHT * self.limit_bytes

    @property
    def available_bytes(self) -> int:
        return max(0, self.limit_bytes - self.used_bytes)

    def batch_rows(self) -> int:
        """Rows of one batch: a quarter of what is available, within bounds."""
        return max(MIN_ROWS, min(MAX_ROWS, int(SHARE * self.available_bytes) // ROW_BYTES))


def measure(cgroup: Path = CGROUP, meminfo: Path = MEMINFO) -> Memory:
    """Of the cgroup (version 2 or 1) where it has a limit below the machine's memory, else of the machine.

    Page cache that the kernel would give back counts as available. A few small files are read.
    """
    total, available = _machine(meminfo)
    for limit_file, usage_file, stat_file, cache in _LAYOUTS:
        limit = _number(cgroup / limit_file)
        used = _number(cgroup / usage_file)
        if limit is not None and used is not None and limit < total:
            return Memory(limit, max(0, used - _entry(cgroup / stat_file, cache)))
    return Memory(total, total - available)


_LAYOUTS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)


def _machine(meminfo: Path) -> tuple[int, int]:
    """Total and available bytes; 1 GiB each where there is no /proc."""
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text(encoding="ascii").splitlines())
        return tuple(int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))  # type: ignore[return-value]  # two names, two numbers
    except (OSError, KeyError, ValueError):
        return 2**30, 2**30


def _number(file: Path) -> int | None:
    """None where there is no such file, or no limit ("max")."""
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _entry(file: Path, name: str) -> int:
    try:
        for line in file.read_text(encoding="ascii").splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    except (OSError, ValueError):
        return 0
    return 0
