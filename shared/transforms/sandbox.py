"""Runs steps in processes of their own, which may use so much memory and time and nothing of this process."""

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from shared.transforms.errors import SystemLackError

GRACE_S = 10.0
"""A host that does not answer so long after a step's time is over is ended."""

TRIES = 2

_ROOT = Path(__file__).resolve().parents[2]

_PASSED_ON = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH")
_ENVIRONMENT = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "HOME": "/nonexistent",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "536870912",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONUNBUFFERED": "1",
    "TZ": "UTC",
}
"""One thread and a fixed hash seed: the same rows give the same result. The system's allocator reserves no addresses
in advance, so that a bound of them is a bound of memory; it keeps what a piece of rows has freed for the next one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of the steps of one batch: memory of each, time of all of them."""

    memory_mib: int = 1024
    timeout_s: float = 60


class Sandbox:
    """Hosts of steps. Each serves one step at a time and waits for the next. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Host] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the hosts that wait."""
        with self._lock:
            idle, self._idle = self._idle, []
        for host in idle:
            host.end()

    def run(self, job: Mapping[str, Any]) -> Mapping[str, Any]:
        """What became of the job. Raises `SystemLackError` where no process can do it."""
        for _ in range(TRIES):
            host = self._take()
            answer = host.ask(job)
            if answer is None:
                host.end()
                continue
            with self._lock:
                self._idle.append(host)
            if "system" in answer:
                raise SystemLackError(answer["system"])
            return answer
        raise SystemLackError("the process that runs transforms ends before it answers")

    def _take(self) -> "_Host":
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return _Host()


class _Host:
    def __init__(self) -> None:
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _ENVIRONMENT
        environment["PYTHONPATH"] = os.pathsep.join(
            filter(None, (str(_ROOT), os.environ.get("PYTHONPATH", "")))
        )
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "shared.transforms.host"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                cwd=Path("/"),
                start_new_session=True,
            )
        except OSError as error:
            raise SystemLackError(f"no process could be started: {error.strerror}") from error

    def ask(self, job: Mapping[str, Any]) -> dict[str, Any] | None:
        """None: the host is gone, or does not answer."""
        asked, answers = self._process.stdin, self._process.stdout
        if asked is None or answers is None:
            return None
        try:
            asked.write(json.dumps(job).encode() + b"\n")
            asked.flush()
            poll = select.poll()
            poll.register(answers, select.POLLIN)
            line = answers.readline() if poll.poll((job["timeout_s"] + GRACE_S) * 1000) else b""
            found = json.loads(line) if line else None
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def end(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._process.kill()
        self._process.wait()
