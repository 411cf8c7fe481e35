"""The manifests of deploy/k8s: derived files are what the code makes, and what all of them have in common.

Whether a real API server takes them, and what Kustomize makes of them, is tried in tests/deploy.
"""

import re
from typing import Any

import pytest
import yaml

from deploy.compose import credentials
from deploy.k8s import local_secrets
from deploy.k8s.manifests import files
from deploy.k8s.manifests.objects import SECRETS_DIR
from deploy.k8s.manifests.scaling import WITH_KEDA
from deploy.k8s.manifests.workloads import AFTER_DRAIN_S, MEMORY_LIMIT_MIB, PIPELINE, WORKLOADS
from deploy.k8s.manifests.writing import HEADER, ROOT
from shared.bus.subscriptions import DRAIN_S
from shared.events.topology import SERVICES
from shared.settings.kafka import KafkaSettings
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.version import CODE_VERSION
from tests.support import records
from tests.support.manifests import OVERLAYS, Object, objects_of, of_kind, pods_of, settings_of

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


@pytest.fixture(scope="module")
def derived() -> dict[str, str]:
    return files.files()


def test_derived_files_are_what_the_code_makes(derived: dict[str, str]) -> None:
    found = {name: (ROOT / name).read_text() for name in derived if (ROOT / name).exists()}
    assert [name for name in derived if found.get(name) != derived[name]] == [], "run `make manifests`"


def test_no_file_is_left_of_what_the_code_no_longer_makes(derived: dict[str, str]) -> None:
    marked = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*")
        if path.suffix in {".yaml", ".env"} and path.read_text().startswith(HEADER)
    }
    assert marked - derived.keys() == set()


def test_the_services_are_those_of_the_topology() -> None:
    assert tuple(workload.name for workload in PIPELINE) == SERVICES


@pytest.mark.parametrize("workload", PIPELINE, ids=lambda workload: workload.name)
def test_a_service_has_a_way_to_the_database_where_it_reads_its_settings(workload: Any) -> None:
    code = (records.ROOT / "services" / workload.name / "app.py").read_text()
    assert workload.postgres is ("PostgresSettings" in code)


def test_images_have_the_versions_of_the_containers() -> None:
    listed = yaml.safe_load((ROOT / "components/images/kustomization.yaml").read_text())["images"]
    found = {image["name"]: f"{image['newName']}:{image['newTag']}" for image in listed}
    compose = yaml.safe_load((records.ROOT / "docker-compose.yml").read_text())["services"]
    wanted = {name: compose[name]["image"] for name in ("kafka", "postgres", "seaweedfs", "connect")}
    assert found == wanted | {"onpoint": f"onpoint:{CODE_VERSION}"}


def test_every_container_has_its_image_from_the_list() -> None:
    listed = yaml.safe_load((ROOT / "components/images/kustomization.yaml").read_text())["images"]
    used = {
        container["image"]
        for overlay in OVERLAYS
        for _, pod in pods_of(objects_of(overlay))
        for container in containers(pod)
    }
    assert used <= {image["name"] for image in listed}


def test_airflow_runs_the_image_that_is_built_for_it() -> None:
    values = yaml.safe_load((ROOT / "airflow/values.yaml").read_text())
    base = re.search(
        r"^FROM apache/airflow:(\S+)", (ROOT.parent / "docker/airflow.Dockerfile").read_text(), re.MULTILINE
    )
    assert base
    assert values["airflowVersion"] == base[1]
    assert values["defaultAirflowTag"] == CODE_VERSION


def containers(pod: Object) -> list[Object]:
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


@each_overlay
def test_every_pod_is_restricted(overlay: str) -> None:
    for name, pod in pods_of(objects_of(overlay)):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            sizes = container["resources"]
            assert (
                sizes["requests"].keys() == sizes["limits"].keys() == {"cpu", "memory", "ephemeral-storage"}
            )


@each_overlay
def test_every_pod_that_stays_is_probed(overlay: str) -> None:
    probes = {"startupProbe", "livenessProbe", "readinessProbe"}
    for each in of_kind(objects_of(overlay), "Deployment", "StatefulSet"):
        name, (container,) = each["metadata"]["name"], each["spec"]["template"]["spec"]["containers"]
        assert probes & container.keys() == (set() if name == "console" else probes), name


@each_overlay
def test_no_service_is_killed_before_its_drain_is_over(overlay: str) -> None:
    for name, pod in pods_of(objects_of(overlay)):
        if name in SERVICES:
            hook = pod["spec"]["containers"][0].get("lifecycle", {}).get("preStop", {})
            wait_s = hook.get("sleep", {}).get("seconds", 0)
            assert pod["spec"]["terminationGracePeriodSeconds"] >= wait_s + DRAIN_S + AFTER_DRAIN_S


def test_every_service_has_the_memory_for_which_the_crawler_planned_a_batch() -> None:
    assert {workload.resources.memory_limit_mib for workload in PIPELINE} == {MEMORY_LIMIT_MIB}


@each_overlay
def test_the_number_of_replicas_has_one_owner(overlay: str) -> None:
    objects = objects_of(overlay)
    owned = [
        each["spec"]["scaleTargetRef"]["name"]
        for each in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")
    ]
    assert len(owned) == len(set(owned))
    assert set(SERVICES) <= set(owned)
    said = {each["metadata"]["name"] for each in of_kind(objects, "Deployment") if "replicas" in each["spec"]}
    assert said.isdisjoint(owned)


def test_keda_owns_what_waits_for_batches_and_no_more() -> None:
    scaled = of_kind(objects_of("prod"), "ScaledObject")
    assert {each["metadata"]["name"] for each in scaled} == {
        name for name, owner in WITH_KEDA.items() if owner == "keda"
    }


@each_overlay
def test_no_secret_is_written_down(overlay: str) -> None:
    assert of_kind(objects_of(overlay), "Secret") == []
    for variable in settings_of(overlay):
        assert not re.search("PASSWORD|SECRET_|DSN|CREDENTIAL|TOKEN|KEY", variable) or variable.endswith(
            ("_DIR", "_FILE")
        )
    for _, pod in pods_of(objects_of(overlay)):
        for each in (each for container in containers(pod) for each in container.get("env", ())):
            if re.search("PASSWORD|DSN|CREDENTIALS", each["name"]):
                assert each["name"].endswith("_FILE")
                assert each["value"].startswith(("/run/secrets/", SECRETS_DIR))


@each_overlay
def test_the_settings_are_settings(overlay: str) -> None:
    settings = settings_of(overlay) | {
        "ONPOINT_KAFKA_SASL_USERNAME": "loader",
        "ONPOINT_KAFKA_SASL_PASSWORD": "of a file",
    }
    assert load_settings(KafkaSettings, settings).kafka_bootstrap_servers
    assert load_settings(ObjectStoreSettings, settings).lake_bucket
    known = (records.ROOT / ".env.example").read_text()
    unknown = [
        name for name in settings if name.startswith("ONPOINT_") and not re.search(rf"\b{name}=", known)
    ]
    assert unknown == []


def test_the_secrets_of_one_machine_are_those_that_its_pods_name(tmp_path: Any) -> None:
    credentials.create(tmp_path)
    made = {each["metadata"]["name"]: each["stringData"].keys() for each in local_secrets.secrets(tmp_path)}
    named = {
        source["secret"]["name"]: {item["key"] for item in source["secret"]["items"]}
        for _, pod in pods_of(objects_of("local"))
        for volume in pod["spec"]["volumes"]
        for source in volume.get("projected", {}).get("sources", ())
    } | {
        volume["secret"]["secretName"]: set()
        for _, pod in pods_of(objects_of("local"))
        for volume in pod["spec"]["volumes"]
        if "secret" in volume
    }
    assert {name: keys - made[name] for name, keys in named.items()} == {name: set() for name in named}


def test_every_way_to_what_holds_the_data_is_a_label_of_the_pod() -> None:
    needs = {
        workload.name: {
            f"onpoint/{what}"
            for what, needed in (
                ("kafka", workload.kafka_user),
                ("postgres", workload.postgres),
                ("store", workload.store),
            )
            if needed
        }
        for workload in WORKLOADS
    }
    for name, pod in pods_of(objects_of("dev")):
        labels = {label for label in pod["metadata"]["labels"] if label.startswith("onpoint/")}
        if name in needs:
            assert labels == needs[name], name
