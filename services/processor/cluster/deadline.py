"""Ends this process when a piece of work takes too long, whatever the work is busy with."""

import faulthandler
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Deadlines:
    """The pieces of work that run now. One object per process: the timer behind it exists once.

    The timer needs no interpreter lock, so it also ends work that loops inside a library. It writes where every thread
    is to standard error first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due_s: dict[object, float] = {}

    @contextmanager
    def within(self, limit_s: float) -> Iterator[None]:
        piece = object()
        with self._lock:
            self._due_s[piece] = time.monotonic() + limit_s
            self._arm()
        try:
            yield
        finally:
            with self._lock:
                del self._due_s[piece]
                self._arm()

    def _arm(self) -> None:
        faulthandler.cancel_dump_traceback_later()
        if self._due_s:
            left_s = min(self._due_s.values()) - time.monotonic()
            faulthandler.dump_traceback_later(max(left_s, 0.001), exit=True)
