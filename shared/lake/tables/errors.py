import re
from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import PermanentError, TransientError
from shared.reasons import Reason

SHOWN_CHARS = 400

_COLOURS = re.compile("\x1b\\[[0-9;]*m|↳")
"""delta-rs draws a tree of causes."""


class TableRefusedError(PermanentError):
    """The table cannot take what it is given, today or tomorrow: a column has another type there."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.SCHEMA, message)


class TableUnavailableError(TransientError):
    """The object store or the catalog does not answer, or another process has committed to the table meanwhile."""


@contextmanager
def translated(table: str, outages: tuple[type[Exception], ...]) -> Iterator[None]:
    """Turns the driver's errors of these types, and the system's, into `TableUnavailableError`."""
    expected: tuple[type[Exception], ...] = (*outages, OSError)
    try:
        yield
    except expected as error:
        text = " ".join(_COLOURS.sub("", str(error)).split())
        raise TableUnavailableError(f"{table}: {text}"[:SHOWN_CHARS]) from error
