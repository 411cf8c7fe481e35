"""Autoscalers of an overlay in a time that is faster, and the ones that KEDA would make of its ScaledObjects."""

import copy
from typing import Any, Final

from tests.deploy.cluster.api import Object

TIME_SCALE: Final = 20
"""Windows and periods are shorter by this factor: minutes of waiting would show the same."""

LABEL: Final = "scaledobject.keda.sh/name"


def faster(autoscaler: Object) -> dict[str, Any]:
    """The HorizontalPodAutoscaler with shorter windows and periods, and nothing else changed."""
    changed: dict[str, Any] = copy.deepcopy(dict(autoscaler))
    for rules in changed["spec"]["behavior"].values():
        rules["stabilizationWindowSeconds"] //= TIME_SCALE
        for policy in rules["policies"]:
            policy["periodSeconds"] //= TIME_SCALE
    return changed


def of_scaled_object(scaled: Object) -> dict[str, Any]:
    """The HorizontalPodAutoscaler that KEDA keeps for a ScaledObject: its name, its metrics' names and targets."""
    metadata, spec = scaled["metadata"], scaled["spec"]
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": f"keda-hpa-{metadata['name']}", "namespace": metadata["namespace"]},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", **spec["scaleTargetRef"]},
            "minReplicas": spec["minReplicaCount"],
            "maxReplicas": spec["maxReplicaCount"],
            "behavior": spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
            "metrics": [
                _metric(place, each, metadata["name"]) for place, each in enumerate(spec["triggers"])
            ],
        },
    }


def external_metric(place: int) -> str:
    """How KEDA names the figure of a Prometheus trigger, by its place among the triggers."""
    return f"s{place}-prometheus"


def _metric(place: int, trigger: Object, scaled: str) -> dict[str, Any]:
    settings = trigger["metadata"]
    if trigger["type"] in {"cpu", "memory"}:
        target: dict[str, Any] = {"type": "Utilization", "averageUtilization": int(settings["value"])}
        return {"type": "Resource", "resource": {"name": trigger["type"], "target": target}}
    target = {"type": "AverageValue", "averageValue": settings["threshold"]}
    metric = {"name": external_metric(place), "selector": {"matchLabels": {LABEL: scaled}}}
    return {"type": "External", "external": {"metric": metric, "target": target}}
