"""Why PostgreSQL takes no connection, in a sentence that names the setting to mend."""

import ssl
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg

from shared.settings.variables import variable_of

_DSN = variable_of("postgres_dsn")

_TLS_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
"""Parameters of an address that name files."""

_REFUSALS = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)
"""A wrong password, an unknown user, an unknown database."""

_NO_TLS = "rejected SSL upgrade"
"""In the driver's error where a server without TLS is asked for it."""


def error_text(error: BaseException) -> str:
    """The error's text, or its name where it has none."""
    return str(error) or type(error).__name__


def refusal_of(error: BaseException, dsn: str = "") -> str | None:
    """Why no connection comes about however long one waits, in a sentence that names the setting; None: it may yet.

    `dsn` is the address that was connected to; no secret of it is in the sentence.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"PostgreSQL's certificate does not pass: {error.verify_message}: mend the host name, sslmode or "
            f"sslrootcert in {_DSN}"
        )
    if isinstance(error, _REFUSALS):
        return f"PostgreSQL refused the connection, {error}: mend {_DSN}"
    if isinstance(error, OSError | asyncpg.ClientConfigurationError) and (fault := _file_fault(dsn)):
        return f"{fault}: mend {_DSN}"
    if isinstance(error, asyncpg.ClientConfigurationError):
        return f"the address of PostgreSQL cannot be used, {error}: mend {_DSN}"
    if isinstance(error, ConnectionError) and _NO_TLS in str(error):
        return f"PostgreSQL has no TLS and the address asks for it: mend sslmode in {_DSN}"
    return None


def _file_fault(dsn: str) -> str | None:
    named = parse_qs(urlsplit(dsn).query)
    for parameter in _TLS_FILES:
        for file in named.get(parameter, ()):
            try:
                Path(file).read_bytes()
                if parameter == "sslrootcert":
                    ssl.create_default_context(cafile=file)
            except OSError as error:  # ssl's own among them
                return f"{parameter} {file} cannot be used, {error.strerror or error}"
    return None
