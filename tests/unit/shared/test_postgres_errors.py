"""What the driver raises, as an outage of ours or as what trying again cannot help."""

import asyncio

import asyncpg
import pytest

from shared.errors import PermanentError
from shared.postgres.errors import DatabaseUnavailableError, translated


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


def test_a_value_that_the_server_refuses_is_permanent() -> None:
    with pytest.raises(PermanentError), translated():
        raise asyncpg.NumericValueOutOfRangeError("too large")
