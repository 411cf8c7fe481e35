"""What Docker Compose and hadolint make of the files that operators run, every profile included."""

import json
import re
import subprocess
from typing import Any

import pytest
import yaml

from shared.events.topology import SERVICES
from tests.compose.cluster import ROOT, Cluster
from tests.compose.conftest import VERSION
from tests.compose.engine import Engine

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1800)]

WRITTEN: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
PROFILES = {
    "observe": {"prometheus", "alertmanager", "grafana"},
    "lineage": {"quality-lineage"},
    "kafka-ui": {"kafka-ui"},
    "cdc": {"connect", "s3sink-cdc"},
    "airflow": {"airflow"},
    "dask": {"dask-scheduler", "dask-worker"},
    "demo": {"demo-source"},
    "tools": {"onpoint"},
}
CORE = {"kafka", "postgres", "seaweedfs", "store-volume", "topics", "migrate", "buckets", *SERVICES}
WRITABLE_ROOT = {"connect", "airflow"}


def understood(engine: Engine, *profiles: str) -> dict[str, dict[str, Any]]:
    """The services as Docker Compose understands the file, which it does without an error."""
    cluster = Cluster(engine, VERSION)
    cluster.prepare()
    flags = [word for profile in profiles for word in ("--profile", profile)]
    done = subprocess.run(
        ["docker", "compose", "--project-directory", str(ROOT), *flags, "config", "--format", "json"],
        env=cluster.environment(VERSION),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    services: dict[str, dict[str, Any]] = json.loads(done.stdout)["services"]
    return services


def test_the_profiles_are_all_that_the_file_has() -> None:
    assert {name for service in WRITTEN.values() for name in service.get("profiles", ())} == set(PROFILES)


def test_without_a_profile_the_pipeline_and_what_it_needs_run(engine: Engine) -> None:
    assert set(understood(engine)) == CORE


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_adds_its_services_and_nothing_else(engine: Engine, profile: str) -> None:
    services = understood(engine, profile)
    assert set(services) == CORE | PROFILES[profile]
    for name in PROFILES[profile]:
        assert set(services[name].get("depends_on", ())) <= set(services)


def test_all_of_them_together_have_limits_pinned_images_and_loopback_ports_of_their_own(
    engine: Engine,
) -> None:
    services = understood(engine, *PROFILES)
    assert set(services) == CORE.union(*PROFILES.values())
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    assert len({port["published"] for port in ports}) == len(ports)
    for name, service in services.items():
        assert int(service["mem_limit"]) > 0, name
        assert float(service["cpus"]) > 0, name
        assert service["pids_limit"] > 0, name
        assert re.search(r":v?\d", service["image"]), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service.get("read_only", False) is (name not in WRITABLE_ROOT), name


def test_hadolint_finds_nothing_in_the_dockerfile(engine: Engine) -> None:
    done = subprocess.run(
        [engine.folder / "bin" / "hadolint", ROOT / "deploy" / "docker" / "service.Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
