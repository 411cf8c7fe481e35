"""PostgreSQL over TLS, as the address asks for it."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.ports import HOST
from shared.errors import ConfigurationError
from shared.postgres.pool import open_pool
from shared.settings.postgres import PostgresSettings
from tests.support.certificates import Certificates, make_ca, make_certificates
from tests.support.lone_service import LoneService
from tests.support.postgres_server import PostgresServer

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
WRONG_SETTINGS, FAILED = 2, 1
CERTIFICATE = "server.pem"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls") / "certificates", HOST)


@pytest.fixture(scope="module")
def secure(certificates: Certificates) -> Iterator[PostgresServer]:
    """Its certificate names its IP address and nothing else."""
    file = f"../{CERTIFICATE}"
    server = PostgresServer(settings={"ssl": "on", "ssl_cert_file": file, "ssl_key_file": file})
    server.add(CERTIFICATE, certificates.keystore.read_bytes())
    with server:
        yield server


@pytest.fixture(scope="module")
def other_ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_ca(tmp_path_factory.mktemp("other") / "ca")


def verified(dsn: str, ca: Path) -> str:
    return f"{dsn}?sslmode=verify-full&sslrootcert={ca}"


async def refusal(dsn: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        async with asyncio.timeout(10):
            await open_pool(PostgresSettings.model_validate({"postgres_dsn": dsn}))
    return str(caught.value)


async def test_a_certificate_of_the_named_ca_is_accepted(
    secure: PostgresServer, certificates: Certificates
) -> None:
    dsn = verified(secure.dsn(), certificates.ca)
    async with await open_pool(PostgresSettings.model_validate({"postgres_dsn": dsn})) as pool:
        assert await pool.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")


async def test_a_certificate_of_another_ca_is_refused(secure: PostgresServer, other_ca: Path) -> None:
    sentence = await refusal(verified(secure.dsn(), other_ca))
    assert sentence.startswith("PostgreSQL's certificate does not pass: ")
    assert sentence.endswith(": mend the host name, sslmode or sslrootcert in ONPOINT_POSTGRES_DSN")


async def test_a_certificate_of_another_host_is_refused(
    secure: PostgresServer, certificates: Certificates
) -> None:
    dsn = verified(secure.dsn().replace(HOST, "localhost"), certificates.ca)
    assert "Hostname mismatch, certificate is not valid for 'localhost'" in await refusal(dsn)


async def test_a_ca_s_file_that_is_not_there_is_named(secure: PostgresServer, tmp_path: Path) -> None:
    missing = tmp_path / "none.pem"
    assert await refusal(verified(secure.dsn(), missing)) == (
        f"sslrootcert {missing} cannot be used, No such file or directory: mend ONPOINT_POSTGRES_DSN"
    )


async def test_a_server_without_tls_is_refused_where_the_address_asks_for_it(
    postgres: PostgresServer, certificates: Certificates
) -> None:
    sentence = await refusal(verified(postgres.dsn(), certificates.ca))
    assert sentence == (
        "PostgreSQL has no TLS and the address asks for it: mend sslmode in ONPOINT_POSTGRES_DSN"
    )


async def test_a_service_ends_with_one_sentence(
    secure: PostgresServer, other_ca: Path, tmp_path: Path
) -> None:
    dsn = verified(secure.dsn(), other_ca)
    with LoneService("loader", tmp_path / "log", ONPOINT_POSTGRES_DSN=dsn) as service:
        assert await service.exited() == WRONG_SETTINGS
        log = service.log()
    assert log.splitlines()[-2] == "loader: wrong settings"
    assert log.splitlines()[-1].startswith("PostgreSQL's certificate does not pass: ")
    assert "Traceback" not in log


async def test_a_command_ends_with_one_sentence(secure: PostgresServer, other_ca: Path) -> None:
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "console", "migrate"),
        cwd=ROOT,
        env={**os.environ, "ONPOINT_POSTGRES_DSN": verified(secure.dsn(), other_ca)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await command.communicate()
    assert (command.returncode, out) == (FAILED, b"")
    [sentence] = err.decode().splitlines()
    assert "PostgreSQL's certificate does not pass: " in sentence
