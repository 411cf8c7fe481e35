"""No field of any object can be misspelt: the API server refuses each under another name."""

from typing import Final

import pytest

from tests.deploy.cluster.api import Object
from tests.deploy.cluster.simulated import SimulatedCluster
from tests.deploy.misspelling import Misspelt, misspellings
from tests.deploy.rendered import ALONE, OVERLAYS, alone, rendered

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(600)]

FREE: Final = {
    "*": ("metadata.labels", "metadata.annotations", "matchLabels", "nodeSelector", "commonLabels"),
    "ConfigMap": ("data", "binaryData"),
    "Secret": ("data", "stringData"),
    "Service": ("spec.selector",),
    "KafkaTopic": ("spec.config",),
    "Kafka": ("spec.kafka.config", "requests", "limits"),
    "KafkaNodePool": ("requests", "limits"),
    "ScaledObject": tuple(f"triggers.{place}.metadata" for place in range(8)),
    "StatefulSet": ("volumeClaimTemplates.0.spec.resources.requests",),
    "PrometheusRule": ("labels", "annotations"),
    "ExternalSecret": ("spec.target.template.data",),
}
"""Mappings whose keys are the user's own."""

WITHOUT_KEY: Final = "has an element that omits all key fields"
"""The refusal of a list's element whose key is misspelt."""


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_misspelt_field_is_taken(overlay: str, cluster: SimulatedCluster) -> None:
    tried: set[tuple[str, str]] = set()
    taken = []
    cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ALONE}})
    for wanted in map(alone, rendered(overlay)):
        for misspelt in misspellings(wanted):
            key = (wanted["kind"], misspelt.kind_of_field)
            if key in tried or _is_free(wanted, misspelt):
                continue
            tried.add(key)
            answer = cluster.api.apply(misspelt.object, dry=True)
            told = (f"{misspelt.path[-1]}z", WITHOUT_KEY)
            if answer.accepted or not any(words in answer.message for words in told):
                taken.append(
                    f"{wanted['kind']} {misspelt.kind_of_field}: {answer.status} {answer.message[:200]}"
                )
    assert taken == []
    assert len(tried) > 200


def _is_free(wanted: Object, misspelt: Misspelt) -> bool:
    inside = ".".join(str(step) for step in misspelt.path[:-1])
    return any(
        inside == each or inside.endswith(f".{each}") for each in (*FREE["*"], *FREE.get(wanted["kind"], ()))
    )
