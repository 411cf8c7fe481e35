"""Locks between processes. The kernel drops them with the process, so none outlives it."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.errors import StackError

POLL_S = 0.1


def try_hold(path: Path) -> int | None:
    """The open descriptor that holds the lock, or None if another process has it. Closing it lets go."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def is_held(path: Path) -> bool:
    """Whether another process has the lock. Creates nothing."""
    if not path.exists():
        return False
    descriptor = try_hold(path)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def hold(path: Path, *, wait_s: float, on_wait: Callable[[], None] = lambda: None) -> int:
    """Take the lock within `wait_s` seconds; `on_wait` is called once if it is not free at once.

    Raises `StackError` when the time is over.
    """
    deadline = time.monotonic() + wait_s
    descriptor = try_hold(path)
    if descriptor is None:
        on_wait()
    while descriptor is None:
        if time.monotonic() > deadline:
            raise StackError(f"another process has held {path} for {wait_s:.0f} s: end it, then try again")
        time.sleep(POLL_S)
        descriptor = try_hold(path)
    return descriptor


@contextmanager
def held(path: Path, *, wait_s: float, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """`hold` for the length of a block."""
    descriptor = hold(path, wait_s=wait_s, on_wait=on_wait)
    try:
        yield
    finally:
        os.close(descriptor)
