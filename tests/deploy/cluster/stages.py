"""How simulated nodes and pods go on: kwok's own stages, and time for a pod to become ready."""

import json
import os
from pathlib import Path

import yaml

from tests.deploy.cluster.programs import PLACE, go

STAGES = ("node/fast", "node/heartbeat-with-lease", "pod/fast")
READY_AFTER_MS = 1_000
"""Long enough for an update that does not wait for its new pods to be seen."""


def write_stages(path: Path) -> Path:
    """One file of all stages, from the module that kwok is built from."""
    module = json.loads(go(os.environ, PLACE / "kubernetes", "mod", "download", "-json", "sigs.k8s.io/kwok"))
    source = Path(module["Dir"]) / "kustomize" / "stage"
    stages = [
        yaml.safe_load(file.read_text())
        for folder in STAGES
        for file in sorted((source / folder).glob("*.yaml"))
        if file.name != "kustomization.yaml"
    ]
    for stage in stages:
        if stage["metadata"]["name"] == "pod-ready":
            stage["spec"]["delay"] = {"durationMilliseconds": READY_AFTER_MS}
    path.write_text(yaml.safe_dump_all(stages))
    return path
