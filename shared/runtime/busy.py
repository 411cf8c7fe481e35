"""How long a process has had work in hand, however many pieces at once."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from shared.observability.metrics import BUSY_SECONDS

_pieces = 0
_since_s = 0.0


def begin() -> None:
    """A piece of work is in hand. On the event loop's thread only."""
    global _pieces, _since_s  # noqa: PLW0603 - one per process, as the metric
    if _pieces == 0:
        _since_s = time.monotonic()
    _pieces += 1


def end() -> None:
    global _pieces  # noqa: PLW0603 - as above
    _pieces -= 1
    if _pieces == 0:
        BUSY_SECONDS.inc(time.monotonic() - _since_s)


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
