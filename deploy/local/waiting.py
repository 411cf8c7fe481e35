"""Waits that end."""

import time
from collections.abc import Callable

from deploy.local.errors import StackError

POLL_S = 0.05


def wait_for(condition: Callable[[], bool], *, timeout_s: float, what: str) -> None:
    """Return when `condition` holds. Raises `StackError` naming `what` when time is over."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise StackError(f"waited {timeout_s:.0f} s for {what}")
        time.sleep(POLL_S)
