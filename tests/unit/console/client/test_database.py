"""What PostgreSQL refuses at the door names the setting to mend."""

import asyncpg
import pytest

from console.client.database import refusal


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InvalidPasswordError('password authentication failed for user "me"'),
        asyncpg.InvalidAuthorizationSpecificationError('role "me" does not exist'),
        asyncpg.InvalidCatalogNameError('database "x" does not exist'),
    ],
)
def test_a_refused_connection_names_the_setting(error: asyncpg.PostgresError) -> None:
    assert refusal(error) == f"PostgreSQL refused the connection, {error}: mend ONPOINT_POSTGRES_DSN"


def test_what_is_no_refusal_is_said_otherwise() -> None:
    assert refusal(asyncpg.UndefinedTableError("no such table")) is None
    assert refusal(OSError("away")) is None
