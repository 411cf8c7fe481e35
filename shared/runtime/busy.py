"""How long a process has had work in hand, however many pieces at once, and what CPU time each piece took.

The CPU time of the process is shared equally among the pieces in hand: threads of Arrow and polars, the event loop and the
collector of garbage work for all of them, and nothing tells for which. All pieces together have what the process had.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from shared.observability.metrics import BUSY_SECONDS

_pieces = 0
_since_s = 0.0
_cpu_s = 0.0
"""Of the process, when the number of pieces changed last."""
_share_s = 0.0
"""What one piece would have had that was in hand since the start of the process."""
_share_before_s: ContextVar[float | None] = ContextVar("share_before_s", default=None)
"""The same, when the piece of this context was begun."""


def begin() -> None:
    """A piece of work is in hand: the one of this context. On the event loop's thread only."""
    global _pieces, _since_s  # noqa: PLW0603 - one per process, as the metric
    _settle()
    if _pieces == 0:
        _since_s = time.monotonic()
    _pieces += 1
    _share_before_s.set(_share_s)


def end() -> None:
    global _pieces  # noqa: PLW0603 - as above
    _settle()
    _pieces -= 1
    if _pieces == 0:
        BUSY_SECONDS.inc(time.monotonic() - _since_s)


def cpu_ms() -> int | None:
    """Of CPU that the piece of this context had so far; None outside of one. On the event loop's thread only."""
    before_s = _share_before_s.get()
    if before_s is None:
        return None
    _settle()
    return round((_share_s - before_s) * 1000)


@contextmanager
def busy() -> Iterator[None]:
    begin()
    try:
        yield
    finally:
        end()


def pieces() -> int:
    """In hand at this moment."""
    return _pieces


def _settle() -> None:
    """Shares out what the process had since the last change."""
    global _cpu_s, _share_s  # noqa: PLW0603 - as above
    now_s = time.process_time()
    if _pieces:
        _share_s += (now_s - _cpu_s) / _pieces
    _cpu_s = now_s
