"""What processes used between two moments: CPU seconds and peak memory, with their children."""

import contextlib
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

INTERVAL_S = 0.1


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time between the two moments; the highest memory of samples `INTERVAL_S` apart."""

    cpu_s: float
    peak_rss_bytes: int


class Meter:
    """Measures named processes while it is entered. A process with children counts as one, shared pages once."""

    def __init__(self, processes: Mapping[str, psutil.Process]) -> None:
        self._processes = dict(processes)
        self._before: dict[str, float] = {}
        self._peaks = dict.fromkeys(processes, 0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.usage: dict[str, Usage] = {}
        self.elapsed_s = 0.0

    def __enter__(self) -> Self:
        self._before = {name: _cpu_s(process) for name, process in self._processes.items()}
        self._started_s = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.elapsed_s = time.monotonic() - self._started_s
        self._stop.set()
        self._thread.join()
        self.usage = {
            name: Usage(_cpu_s(process) - self._before[name], self._peaks[name])
            for name, process in self._processes.items()
        }

    def _watch(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            for name, process in self._processes.items():
                self._peaks[name] = max(self._peaks[name], _rss_bytes(process))


def _tree(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def _cpu_s(process: psutil.Process) -> float:
    """Of children that ended, too."""
    total = 0.0
    for part in _tree(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = part.cpu_times()
            total += times.user + times.system
            if part == process:
                total += times.children_user + times.children_system
    return total


def _rss_bytes(process: psutil.Process) -> int:
    own = shared = 0
    for part in _tree(process):
        with contextlib.suppress(psutil.NoSuchProcess, OSError, ValueError, IndexError):
            pages = Path(f"/proc/{part.pid}/statm").read_text(encoding="ascii").split()
            resident, common = (int(count) * _PAGE_BYTES for count in pages[1:3])
            own, shared = own + resident - common, max(shared, common)
    return own + shared


_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
