"""Autoscalers: the bounds and the behaviour that were asked for, and one owner for each service."""

from typing import Any

import pytest
import yaml

from deploy.k8s.manifests.scaling import (
    BRAKED,
    LAG_S_PER_REPLICA,
    ROWS_PER_REPLICA,
    WITH_KEDA,
    autoscaler,
    by_cpu_and_memory,
    by_lag,
    scaled_object,
)
from deploy.k8s.manifests.workloads import PIPELINE
from shared.events.topology import SERVICES
from tests.support.records import ROOT

UP = {"stabilizationWindowSeconds": 60, "policies": [{"type": "Percent", "value": 100, "periodSeconds": 60}]}
DOWN = {
    "stabilizationWindowSeconds": 300,
    "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}],
}


def test_an_autoscaler_has_2_to_20_replicas_by_cpu_and_memory() -> None:
    spec = autoscaler("crawler")["spec"]

    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 20)
    assert {
        each["resource"]["name"]: each["resource"]["target"]["averageUtilization"] for each in spec["metrics"]
    } == {"cpu": 70, "memory": 80}
    assert spec["behavior"] == {"scaleUp": UP, "scaleDown": DOWN}


@pytest.mark.parametrize("name", [name for name, owner in WITH_KEDA.items() if owner == "keda"])
def test_a_scaled_object_behaves_like_it_and_asks_for_lag_and_rows(name: str) -> None:
    spec = scaled_object(name)["spec"]
    figures: dict[str, Any] = {
        each["metadata"]["threshold"]: each["metadata"]["query"]
        for each in spec["triggers"]
        if each["type"] == "prometheus"
    }

    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 20)
    assert spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == {"scaleUp": UP, "scaleDown": DOWN}
    assert figures.keys() == {str(LAG_S_PER_REPLICA), str(ROWS_PER_REPLICA)}
    assert all(f'service="{name}"' in query for query in figures.values())


def test_what_has_a_brake_has_no_trigger_without_one() -> None:
    kinds = {
        each["metadata"]["name"]: {trigger["type"] for trigger in each["spec"]["triggers"]}
        for each in by_lag()
        if each["kind"] == "ScaledObject"
    }

    assert {name for name, found in kinds.items() if found == {"prometheus"}} == BRAKED
    assert all(
        found == {"prometheus", "cpu", "memory"} for name, found in kinds.items() if name not in BRAKED
    )


def test_the_brake_holds_everything_by_keda_that_writes_into_the_database() -> None:
    writes = {workload.name for workload in PIPELINE if workload.postgres}

    assert {name for name in writes if WITH_KEDA[name] == "keda"} == BRAKED


@pytest.mark.parametrize("objects", [by_cpu_and_memory(), by_lag()], ids=["hpa", "keda"])
def test_every_service_has_one_owner(objects: list[dict[str, Any]]) -> None:
    assert sorted(each["spec"]["scaleTargetRef"]["name"] for each in objects) == sorted(SERVICES)


def test_the_rules_have_the_thresholds_and_the_services_of_the_brake() -> None:
    [group] = yaml.safe_load((ROOT / "deploy/observe/rules/scaling.yaml").read_text())["groups"]
    rules = {rule["record"]: rule["expr"] for rule in group["rules"]}
    lag, rows = rules["service:onpoint_scaling_lag_seconds:max"], rules["service:onpoint_scaling_rows:sum"]

    assert f"{LAG_S_PER_REPLICA} * service:onpoint_replicas:count" in lag
    assert f"{ROWS_PER_REPLICA} * service:onpoint_replicas:count" in rows
    assert rules["service:onpoint_waiting_worth_rows:sum"].startswith(f"{ROWS_PER_REPLICA} * ")
    assert all(f'service!~"{"|".join(sorted(BRAKED))}"' in rule for rule in (lag, rows))
