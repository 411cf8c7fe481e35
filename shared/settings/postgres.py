"""Where the database is, and how much of it a process may use."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from shared.settings.dsn import fault_of
from shared.settings.model import Settings


def _whole(dsn: SecretStr) -> SecretStr:
    if (fault := fault_of(dsn.get_secret_value())) is not None:
        raise ValueError(fault)
    return dsn


PostgresDsn = Annotated[SecretStr, AfterValidator(_whole)]


class PostgresSettings(Settings):
    postgres_dsn: Annotated[PostgresDsn, Field(description="postgresql://user:password@host:port/database")]
    postgres_dsn_file: Annotated[
        str | None,
        Field(
            description="file that has this address instead of the variable; it is read for each connection"
        ),
    ] = None
    postgres_pool_size: Annotated[
        int, Field(ge=1, le=100, description="connections kept open per process")
    ] = 2
    postgres_pool_overflow: Annotated[
        int,
        Field(
            ge=0,
            le=100,
            description="connections more than that, opened when needed, closed when idle for a minute",
        ),
    ] = 2
    postgres_statement_timeout_s: Annotated[
        int, Field(ge=1, le=3600, description="seconds one statement may take, a whole COPY included")
    ] = 300
