"""One process for ever: a pid alone may belong to another process tomorrow."""

import os
from dataclasses import dataclass

import psutil

CREATED_TOLERANCE_S = 2.0
"""A process's start is computed from the boot time, which moves a little when the clock is set."""


@dataclass(frozen=True, kw_only=True)
class ProcessId:
    """A pid with the time at which its process began, in seconds of the epoch."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> "ProcessId | None":
        """The identity of a running process; None if it is gone."""
        try:
            return cls(pid=pid, created=psutil.Process(pid).create_time())
        except psutil.Error:
            return None

    @classmethod
    def of_this(cls) -> "ProcessId":
        """The identity of the calling process."""
        return cls(pid=os.getpid(), created=psutil.Process().create_time())

    def find(self) -> psutil.Process | None:
        """The process, if it still runs."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) <= CREATED_TOLERANCE_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None
