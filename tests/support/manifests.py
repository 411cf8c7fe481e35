"""The objects that an overlay is made of, as they are in the files: before Kustomize patches and names them."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from deploy.k8s.manifests.writing import ROOT

Object = dict[str, Any]
OVERLAYS = tuple(sorted(path.parent.name for path in ROOT.glob("overlays/*/kustomization.yaml")))


@cache
def objects_of(overlay: str) -> list[Object]:
    """Not to be changed: it is shared."""
    return list(_objects(ROOT / "overlays" / overlay))


def _objects(place: Path) -> Iterator[Object]:
    if place.is_file():
        yield from (each for each in yaml.load_all(place.read_text(), Loader=yaml.CSafeLoader) if each)
        return
    kustomization = yaml.safe_load((place / "kustomization.yaml").read_text())
    for name in (*kustomization.get("resources", ()), *kustomization.get("components", ())):
        yield from _objects((place / name).resolve())


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [each for each in objects if each["kind"] in kinds]


def pods_of(objects: list[Object]) -> list[tuple[str, Object]]:
    """The pods of workloads and jobs, by name."""
    return [
        (each["metadata"]["name"], each["spec"]["template"])
        for each in of_kind(objects, "Deployment", "StatefulSet", "Job")
    ]


def settings_of(overlay: str) -> dict[str, str]:
    """What the ConfigMap of the settings has in the end."""
    return dict(_settings(ROOT / "overlays" / overlay))


def _settings(place: Path) -> Iterator[tuple[str, str]]:
    if place.is_file():
        return
    kustomization = yaml.safe_load((place / "kustomization.yaml").read_text())
    for name in kustomization.get("resources", ()):
        yield from _settings((place / name).resolve())
    for name in kustomization.get("components", ()):
        yield from _settings((place / name).resolve())
    for generator in kustomization.get("configMapGenerator", ()):
        if generator["name"] == "onpoint-settings":
            files = [(place / name).read_text() for name in generator.get("envs", ())]
            lines = [line for text in files for line in text.splitlines()]
            for line in (*lines, *generator.get("literals", ())):
                if line and not line.startswith("#"):
                    variable, _, value = line.partition("=")
                    yield variable, value
