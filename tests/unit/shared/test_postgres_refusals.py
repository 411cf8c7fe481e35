"""Why PostgreSQL takes no connection: one sentence that names the setting to mend."""

from pathlib import Path

import asyncpg
import pytest

from shared.postgres.refusals import refusal_of


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InvalidPasswordError('password authentication failed for user "me"'),
        asyncpg.InvalidAuthorizationSpecificationError('role "me" does not exist'),
        asyncpg.InvalidCatalogNameError('database "x" does not exist'),
    ],
)
def test_a_refused_connection_names_the_setting(error: asyncpg.PostgresError) -> None:
    assert refusal_of(error) == f"PostgreSQL refused the connection, {error}: mend ONPOINT_POSTGRES_DSN"


def test_a_server_without_tls_that_is_asked_for_it_is_named() -> None:
    error = ConnectionError('PostgreSQL server at "h:5432" rejected SSL upgrade')
    assert refusal_of(error) == (
        "PostgreSQL has no TLS and the address asks for it: mend sslmode in ONPOINT_POSTGRES_DSN"
    )


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_file_of_the_address_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    sentence = refusal_of(
        FileNotFoundError(2, "No such file or directory"),
        f"postgresql://me:secret@h/d?sslmode=verify-full&sslrootcert={file}",
    )
    assert sentence is not None
    assert sentence.startswith(f"sslrootcert {file} cannot be used, ")
    assert sentence.endswith(": mend ONPOINT_POSTGRES_DSN")
    assert "secret" not in sentence


def test_what_is_not_a_refusal_has_no_sentence() -> None:
    assert refusal_of(asyncpg.UndefinedTableError("no such table")) is None
    assert refusal_of(OSError("away"), "postgresql://h/d") is None
