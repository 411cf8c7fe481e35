"""JSON schemas of every kind for kubeconform: Kubernetes' own from a package, those of custom resources from their CRDs."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.deploy.cluster.crds import definitions, read_definitions
from tests.deploy.cluster.programs import validator
from tests.deploy.environment import output_of_python

RELEASE: Final = "1.37.0"
OPEN: Final = "x-kubernetes-preserve-unknown-fields"
EITHER: Final = "x-kubernetes-int-or-string"


def write_schemas(folder: Path) -> None:
    """One file for each kind, closed: a field that a schema does not know is refused, as the API server does."""
    for path in _of_kubernetes().glob("*.json"):
        schema = json.loads(path.read_text())
        schema.pop("$id", None)
        _write(folder / path.name, json.dumps(schema).replace("/api/_definitions.json", "_definitions.json"))
    for definition in read_definitions(definitions(os.environ, print)):
        spec = definition["spec"]
        for version in spec["versions"]:
            name = f"{spec['names']['kind'].lower()}_{version['name']}.json"
            _write(folder / spec["group"] / name, json.dumps(_whole(version["schema"]["openAPIV3Schema"])))


def kubeconform(schemas: Path, manifests: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit code, and what is wrong with each object that is not valid. A kind without a schema is wrong."""
    done = subprocess.run(
        (
            validator(os.environ, print) / "kubeconform",
            "-strict",
            "-output=json",
            f"-kubernetes-version={RELEASE}",
            f"-schema-location={schemas}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
            f"-schema-location={schemas}/{{{{.Group}}}}/{{{{.ResourceKind}}}}_{{{{.ResourceAPIVersion}}}}.json",
        ),
        input=manifests,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, list(json.loads(done.stdout).get("resources") or [])


def _of_kubernetes() -> Path:
    package = output_of_python("import kubernetes_validate; print(kubernetes_validate.__file__)")
    return Path(package).parent / "kubernetes-json-schema" / f"v{RELEASE}-local-strict"


def _whole(schema: dict[str, Any]) -> dict[str, Any]:
    """With what a CRD's schema leaves to the API server."""
    properties = {
        **schema.get("properties", {}),
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object", OPEN: True},
    }
    return _closed({**schema, "properties": properties})


def _closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Its objects have no other fields than those named."""
    closed = dict(schema)
    if closed.pop(EITHER, False):
        closed.pop("type", None)
        closed["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if "properties" in closed:
        closed["properties"] = {name: _closed(each) for name, each in closed["properties"].items()}
        if not closed.get(OPEN):
            closed.setdefault("additionalProperties", False)
    for inside in ("items", "additionalProperties"):
        if isinstance(closed.get(inside), dict):
            closed[inside] = _closed(closed[inside])
    return closed


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
