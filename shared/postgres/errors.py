"""asyncpg's errors as ours: what an outage is, and what trying again cannot help (docs/guarantees.md, C7)."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from shared.errors import PermanentError, TransientError
from shared.reasons import Reason

_BEHIND = ("42P01", "42703", "3F000")
"""A table, column or schema that is not there."""

_TRANSIENT_CLASSES = (
    "08",
    "53",
    "57",
    "40",
    "58",
    "25006",
    "25P03",
    "25P04",
    "55P03",
    "23505",
    *_BEHIND,
)
"""Connection, resources, shutdown, serialisation and deadlock, system, a read-only (failed-over) server, a
transaction that stood still or took too long, lock timeout, a merge that met another; and what a migration has yet to
make."""


_BROKEN_OFF = (asyncpg.InterfaceError, asyncpg.InternalClientError)
"""The connection went away under the driver. The second comes where a server that shuts down says so between two
messages: the next use finds the protocol "in another operation", and the pool lets go of the connection."""


_REASONS = {
    "22003": Reason.RANGE,
    "22008": Reason.RANGE,
    "22021": Reason.NUL,
    "22001": Reason.TOO_LARGE,
    "54000": Reason.TOO_LARGE,
}
"""Numbers and times beyond a column's, a NUL, a text longer than its column, a row or key longer than a page holds."""


class DatabaseUnavailableError(TransientError):
    """PostgreSQL did not answer, or asked us to try again."""


def reason_of(error: asyncpg.PostgresError) -> Reason:
    """Why PostgreSQL refused a value: `schema` where nothing closer is known."""
    return _REASONS.get(error.sqlstate or "", Reason.SCHEMA)


@contextmanager
def translated() -> Iterator[None]:
    """Turns asyncpg's errors into `DatabaseUnavailableError` or `PermanentError`."""
    try:
        yield
    except asyncpg.PostgresError as error:
        state = error.sqlstate or ""
        text = f"{type(error).__name__}: {error}"[:500]
        if state in _BEHIND:
            text += ": run `onpoint migrate`, which makes the tables and columns that the dataset files name"
        if state.startswith(_TRANSIENT_CLASSES):
            raise DatabaseUnavailableError(text) from error
        raise PermanentError(reason_of(error), text) from error
    except (*_BROKEN_OFF, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        raise DatabaseUnavailableError(f"{type(error).__name__}: {error}"[:500]) from error
