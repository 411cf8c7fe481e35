"""What the driver raises, as an outage, as a failure to try again, or as what trying again cannot help."""

import asyncio

import asyncpg
import pytest

from shared.errors import PermanentError, TransientError
from shared.postgres.errors import (
    DatabaseUnavailableError,
    MigrationPendingError,
    PrivilegeMissingError,
    StatementFailedError,
    translated,
)


def error_of(sqlstate: str, routine: str = "") -> asyncpg.PostgresError:
    """As the driver makes it of the server's answer; `routine` is the server's own that reports it."""
    return asyncpg.PostgresError.new({"S": "ERROR", "C": sqlstate, "M": "message", "R": routine})


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
        asyncpg.CannotConnectNowError("the database system is shutting down"),
        asyncpg.AdminShutdownError("terminating connection"),
        asyncpg.DeadlockDetectedError("deadlock"),
        ConnectionResetError(),
        TimeoutError(),
        asyncio.IncompleteReadError(b"", 1),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_server_that_goes_away_is_an_outage(error: Exception) -> None:
    with pytest.raises(DatabaseUnavailableError, match=type(error).__name__), translated():
        raise error


@pytest.mark.parametrize("sqlstate", ["57P01", "57P02", "57P03", "57P05", "08006", "53300", "28P01", "3D000"])
def test_states_of_a_server_that_is_away_or_takes_no_connection_are_outages(sqlstate: str) -> None:
    with pytest.raises(DatabaseUnavailableError), translated():
        raise error_of(sqlstate)


@pytest.mark.parametrize(
    "error",
    [
        *map(error_of, ["57014", "57000", "57P04", "55000", "55006", "26000", "42P05", "XX000", "XX002"]),
        error_of("0A000", routine="RevalidateCachedQuery"),
    ],
    ids=lambda error: error.sqlstate,
)
def test_a_statement_that_fails_for_what_may_pass_is_tried_again_a_bounded_number_of_times(
    error: asyncpg.PostgresError,
) -> None:
    """The delivery policy bounds the tries of what is neither an outage nor permanent."""
    with pytest.raises(StatementFailedError) as caught, translated():
        raise error
    assert not isinstance(caught.value, TransientError | PermanentError)


@pytest.mark.parametrize("sqlstate", ["55P03", "58030"])
def test_a_lock_that_is_not_to_be_had_and_a_failing_disk_are_outages(sqlstate: str) -> None:
    with pytest.raises(DatabaseUnavailableError), translated():
        raise error_of(sqlstate)


def test_what_the_server_does_not_do_is_permanent() -> None:
    with pytest.raises(PermanentError), translated():
        raise error_of("0A000")


@pytest.mark.parametrize("sqlstate", ["42P01", "42703", "3F000"])
def test_what_is_not_there_yet_is_waited_for(sqlstate: str) -> None:
    with pytest.raises(MigrationPendingError, match="run `onpoint migrate`"), translated():
        raise error_of(sqlstate)


def test_what_is_not_granted_yet_is_waited_for() -> None:
    with pytest.raises(PrivilegeMissingError, match="message: GRANT it"), translated():
        raise error_of("42501")


def test_a_value_that_the_server_refuses_is_permanent() -> None:
    with pytest.raises(PermanentError), translated():
        raise asyncpg.NumericValueOutOfRangeError("too large")
