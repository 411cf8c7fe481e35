"""Why PostgreSQL refuses a connection, in a sentence that names the setting to mend."""

import asyncpg

_REFUSALS = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)
"""A wrong password, an unknown user, an unknown database."""


def refusal(error: Exception) -> str | None:
    """Why the server refused the connection; None: it did not."""
    if isinstance(error, _REFUSALS):
        return f"PostgreSQL refused the connection, {error}: mend ONPOINT_POSTGRES_DSN"
    return None
