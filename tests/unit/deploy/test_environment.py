"""The variables that services and users get about the stack."""

import shlex
import subprocess
from pathlib import Path

import pytest

from deploy.local.client_settings import export_lines
from deploy.local.config import ProxyPorts, StackConfig
from deploy.local.credentials import Credentials, load_or_create
from deploy.local.environment import (
    ALLOCATORS,
    MARK,
    client_environment,
    component_environment,
    overrides_from,
    process_environment,
)
from deploy.local.errors import StackError
from deploy.local.home import PROJECT_ROOT, Home
from deploy.local.ports import Ports


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


@pytest.fixture
def credentials(home: Home) -> Credentials:
    return load_or_create(home)


@pytest.fixture
def config() -> StackConfig:
    return StackConfig(
        ports=Ports(),
        services=("loader",),
        staging_bucket="st",
        lake_bucket="la",
        overrides={"ONPOINT_CRAWL_ALLOW_HOSTS": "127.0.0.1:9"},
        java=Path("java"),
        weed=Path("weed"),
        kafka_jars=Path("jars"),
        postgres_programs=Path("pg"),
        hang_s=60,
    )


def test_clients_find_everything(home: Home, config: StackConfig, credentials: Credentials) -> None:
    environment = client_environment(home, config, credentials)
    assert environment["ONPOINT_KAFKA_BOOTSTRAP_SERVERS"] == "127.0.0.1:29092"
    assert environment["ONPOINT_POSTGRES_DSN"] == (
        f"postgresql://onpoint:{credentials.postgres_password}@127.0.0.1:25432/onpoint"
    )
    assert environment["ONPOINT_S3_ENDPOINT_URL"] == environment["AWS_ENDPOINT_URL_S3"]
    assert (environment["ONPOINT_STAGING_BUCKET"], environment["ONPOINT_LAKE_BUCKET"]) == ("st", "la")
    assert environment["PGPASSWORD"] == credentials.postgres_password
    assert environment["ONPOINT_HOME"] == str(home.path)


def test_exported_lines_survive_a_shell() -> None:
    wild = {"A": "plain", "B": 'it\'s $HOME `x` "y"\n;', "C": ""}
    script = export_lines(wild) + '\nprintf "%s\\0" "$A" "$B" "$C"'
    read = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert read.split("\0")[:3] == list(wild.values())
    assert shlex.split(export_lines({"A": "x y"})) == ["export", "A=x y"]


def test_service_gets_overrides_and_its_port_but_no_foreign_credentials(
    home: Home, config: StackConfig, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_SESSION_TOKEN": "theirs",
        "AWS_PROFILE": "theirs",
        "PGSSLMODE": "require",
        "ONPOINT_POSTGRES_DSN": "postgresql://elsewhere",
        "ONPOINT_HTTP_PORT": "1",
        "no_proxy": "corp.example",
        "INHERITED": "yes",
    }.items():
        monkeypatch.setenv(name, value)
    environment = process_environment("loader", home, config, credentials)
    assert environment["ONPOINT_CRAWL_ALLOW_HOSTS"] == "127.0.0.1:9"
    assert environment["ONPOINT_HTTP_PORT"] == "28004"
    assert environment["ONPOINT_POSTGRES_DSN"].endswith("@127.0.0.1:25432/onpoint")
    assert environment["NO_PROXY"] == "corp.example,127.0.0.1,localhost"
    assert environment["INHERITED"] == "yes"
    assert environment[MARK] == f"{home.identity}:loader"
    assert not {"AWS_SESSION_TOKEN", "AWS_PROFILE", "PGSSLMODE"} & set(environment)
    assert "ONPOINT_HTTP_PORT" not in process_environment("migrate", home, config, credentials)


def test_services_give_memory_back_here_as_in_their_image(
    home: Home, config: StackConfig, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = (PROJECT_ROOT / "deploy/docker/service.Dockerfile").read_text()
    assert all(f" {name}={value} " in image for name, value in ALLOCATORS.items())
    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    monkeypatch.delenv("MIMALLOC_PURGE_DELAY", raising=False)
    environment = process_environment("loader", home, config, credentials)
    assert environment["MALLOC_ARENA_MAX"] == "4", "the caller's own wins"
    assert environment["MIMALLOC_PURGE_DELAY"] == "0"


def test_component_gets_nothing_that_could_change_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGDATA", "/elsewhere")
    monkeypatch.setenv("KAFKA_OPTS", "-Dx")
    monkeypatch.delenv("HOME", raising=False)
    assert not {"PGDATA", "KAFKA_OPTS", "HOME"} & set(component_environment("kafka", home))


def test_overrides_are_the_callers_settings_for_services(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {
        "ONPOINT_SOURCE_JSONPLACEHOLDER_URL": "http://127.0.0.1:1",
        "ONPOINT_DATASETS_DIR": "mine",
        "ONPOINT_PORT_KAFKA": "1234",
        "ONPOINT_PORTS": "free",
        "ONPOINT_HOME": "x",
        "ONPOINT_POSTGRES_DSN": "of a stack that was here before",
        "HOME": "x",
    }
    assert overrides_from(environ) == {
        "ONPOINT_SOURCE_JSONPLACEHOLDER_URL": "http://127.0.0.1:1",
        "ONPOINT_DATASETS_DIR": str(tmp_path / "mine"),
    }


def test_credentials_are_made_once_and_never_shown(home: Home, credentials: Credentials) -> None:
    assert load_or_create(home) == credentials != Credentials.generate()
    assert credentials.postgres_password not in repr(credentials)
    assert credentials.s3_secret_key not in repr(credentials)


def test_damaged_credentials_are_not_replaced(home: Home) -> None:
    """The data was made with them: new ones would lock every client out without an error."""
    home.credentials_file.write_text("{")
    with pytest.raises(StackError, match="is damaged"):
        load_or_create(home)


def test_services_use_the_proxy_ports_and_clients_do_not(
    home: Home, config: StackConfig, credentials: Credentials
) -> None:
    ports = ProxyPorts(kafka=1001, kafka_behind=1002, postgres=1003, s3=1004)
    config = config.model_copy(update={"proxy_ports": ports})
    service = process_environment("loader", home, config, credentials)
    assert service["ONPOINT_KAFKA_BOOTSTRAP_SERVERS"] == "127.0.0.1:1001"
    assert service["ONPOINT_POSTGRES_DSN"].endswith("@127.0.0.1:1003/onpoint")
    assert service["ONPOINT_S3_ENDPOINT_URL"] == "http://127.0.0.1:1004"
    step = process_environment("migrate", home, config, credentials)
    assert step["ONPOINT_POSTGRES_DSN"].endswith("@127.0.0.1:25432/onpoint")
    assert (
        client_environment(home, config, credentials)["ONPOINT_S3_ENDPOINT_URL"] == "http://127.0.0.1:28333"
    )
