"""The shipped configurations, as the programs themselves understand them."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local.debian import Observers
from tests.support.records import ROOT

pytestmark = pytest.mark.integration

OBSERVE = ROOT / "deploy" / "observe"


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)


def written(folder: Path, document: Any) -> Path:
    (folder / "rules").symlink_to(OBSERVE / "rules")
    file = folder / "prometheus.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def test_prometheus_takes_the_configuration_of_containers(observers: Observers, tmp_path: Path) -> None:
    document = yaml.safe_load((OBSERVE / "prometheus" / "compose.yaml").read_text())
    done = run(observers.promtool, "check", "config", written(tmp_path, document))
    assert done.returncode == 0, done.stdout + done.stderr


def test_alertmanager_takes_its_configuration(observers: Observers) -> None:
    done = run(observers.amtool, "check-config", OBSERVE / "alertmanager" / "alertmanager.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("severity", "receiver"), [("page", "page"), ("ticket", "ticket"), ("other", "ticket")]
)
def test_a_severity_has_its_receiver(observers: Observers, severity: str, receiver: str) -> None:
    file = OBSERVE / "alertmanager" / "alertmanager.yaml"
    done = run(observers.amtool, "config", "routes", "test", f"--config.file={file}", f"severity={severity}")
    assert done.stdout.strip() == receiver


POD = {
    "__address__": "10.0.0.1:8080",
    "__meta_kubernetes_pod_phase": "Running",
    "__meta_kubernetes_pod_name": "loader-7d9-x2",
    "__meta_kubernetes_pod_label_app_kubernetes_io_component": "loader",
    "__meta_kubernetes_pod_container_port_name": "http",
}


@pytest.mark.parametrize(
    ("differs", "expected"),
    [
        ({}, {"service": "loader", "pod": "loader-7d9-x2"}),
        ({"__meta_kubernetes_pod_container_port_name": "debug"}, {}),
        ({"__meta_kubernetes_pod_phase": "Succeeded"}, {}),
    ],
    ids=["a pod", "another port", "a pod that has ended"],
)
def test_a_pod_becomes_a_target_of_its_service(
    observers: Observers, tmp_path: Path, differs: dict[str, str], expected: dict[str, str]
) -> None:
    """Debian's Prometheus has no Kubernetes in it: labels such as it gives come from a list."""
    document = yaml.safe_load((OBSERVE / "prometheus" / "kubernetes.yaml").read_text())
    (job,) = [job for job in document["scrape_configs"] if job["job_name"] == "onpoint"]
    labels = POD | differs
    job["static_configs"] = [{"targets": [labels.pop("__address__")], "labels": labels}]
    del job["kubernetes_sd_configs"], document["alerting"]
    done = run(
        observers.promtool,
        "check",
        "service-discovery",
        "--timeout=2s",
        written(tmp_path, document),
        "onpoint",
    )
    (found,) = json.loads(done.stdout)
    kept = found.get("labels", {})
    assert {name: kept[name] for name in ("service", "pod") if name in kept} == expected
