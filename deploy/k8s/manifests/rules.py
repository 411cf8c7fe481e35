"""The alert and recording rules of deploy/observe, as the Prometheus operator takes them."""

from pathlib import Path
from typing import Final

import yaml

from deploy.k8s.manifests.objects import PART_OF, Object

FOLDER: Final = Path(__file__).parents[2] / "observe" / "rules"


def prometheus_rules() -> list[Object]:
    """One object for each file."""
    return [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": f"onpoint-{path.stem}", "labels": {PART_OF: "onpoint"}},
            "spec": yaml.safe_load(path.read_text(encoding="utf-8")),
        }
        for path in sorted(FOLDER.glob("*.yaml"))
    ]
