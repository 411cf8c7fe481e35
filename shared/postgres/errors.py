"""Converts asyncpg's errors: an outage, a statement that may be tried again, or a refusal (docs/guarantees.md, C7)."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from shared.errors import OnPointError, PermanentError, TransientError
from shared.reasons import Reason

_SERVER_GOES = ("57P01", "57P02", "57P03", "57P05")
"""Shutdown, crash, start or recovery, an idle session that was ended."""

_NO_ENTRY = ("28", "3D000")
"""A login that is refused, a database that is not there: of a connection that opens, never of a batch."""

_OUTAGE_STATES = (
    "08",
    "53",
    "40",
    "58",
    "25006",
    "25P03",
    "25P04",
    "55P03",
    "23505",
    *_SERVER_GOES,
    *_NO_ENTRY,
)
"""Connection, resources, serialisation and deadlock, system, a read-only (failed-over) server, a transaction that stood
still or took too long, lock timeout, a merge that met another; and the above.
"""

_UNMIGRATED_STATES = ("42P01", "42703", "3F000")
"""A table, column or schema that is not there."""

_UNGRANTED_STATE = "42501"
"""The role may not do this: an operator has yet to grant it."""

_FAILED_STATES = ("57", "55", "26", "42P05", "XX")
"""Whatever else ends a statement from outside (the statement timeout, 57014; a cancel; a dropped database), an object in
use or not in the needed state, a prepared statement that a proxy lost or has twice, an internal error.
"""

_CONNECTION_LOST = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    asyncio.IncompleteReadError,
)
"""The connection went away under the driver. `InternalClientError` comes where a server reports its shutdown between
two messages: the next use finds the protocol "in another operation", and the pool lets go of the connection."""

_REASONS = {
    "22003": Reason.RANGE,
    "22008": Reason.RANGE,
    "22021": Reason.NUL,
    "22001": Reason.TOO_LARGE,
    "54000": Reason.TOO_LARGE,
}
"""Numbers and times beyond a column's, a NUL, a text longer than its column, a row or key longer than a page holds."""

MAX_MESSAGE_CHARS = 500


class DatabaseUnavailableError(TransientError):
    """PostgreSQL did not answer, or asked to try again."""


class MigrationPendingError(DatabaseUnavailableError):
    """A table, column or schema is not there: `onpoint migrate` has yet to make it."""


class PrivilegeMissingError(DatabaseUnavailableError):
    """The role lacks a privilege: an operator has yet to grant it."""


class StatementFailedError(OnPointError):
    """A statement failed, and neither an outage nor its data is known to be the cause.

    It is tried again, a bounded number of times.
    """


def reason_of(error: asyncpg.PostgresError) -> Reason:
    """Why PostgreSQL refused a value: `schema` where nothing closer is known."""
    return _REASONS.get(error.sqlstate or "", Reason.SCHEMA)


def is_outage(error: BaseException) -> bool:
    """Whether the error is an outage: the server cannot be reached, or asks to try again."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith(_OUTAGE_STATES)
    return isinstance(error, _CONNECTION_LOST)


@contextmanager
def translated() -> Iterator[None]:
    """Converts asyncpg's errors.

    Raises `DatabaseUnavailableError` in an outage, `MigrationPendingError` where something is yet to be made,
    `PrivilegeMissingError` where something is yet to be granted, `StatementFailedError` for a statement that failed for
    a reason which may pass, and `PermanentError` for all else.
    """
    try:
        yield
    except asyncpg.PostgresError as error:
        raise _translation(error) from error
    except _CONNECTION_LOST as error:
        raise DatabaseUnavailableError(_text(error)) from error


def _translation(error: asyncpg.PostgresError) -> OnPointError:
    state, text = error.sqlstate or "", _text(error)
    if is_outage(error):
        return DatabaseUnavailableError(text)
    if state.startswith(_UNMIGRATED_STATES):
        return MigrationPendingError(
            f"{text}: run `onpoint migrate`, which makes the tables and columns that the dataset files name"
        )
    if state == _UNGRANTED_STATE:
        return PrivilegeMissingError(f"{text}: GRANT it to the role that the service connects as")
    if state.startswith(_FAILED_STATES) or isinstance(error, asyncpg.InvalidCachedStatementError):
        return StatementFailedError(text)
    return PermanentError(reason_of(error), text)


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:MAX_MESSAGE_CHARS]
