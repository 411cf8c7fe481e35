"""What `kubectl kustomize` makes of each overlay."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import yaml

from tests.deploy.environment import ROOT, program

FOLDER: Final = ROOT / "deploy" / "k8s" / "overlays"
ALONE: Final = "alone"
LOCAL: Final = "local"
"""The overlay whose secrets a command makes; no operator has anything to do there."""

OVERLAYS: Final = tuple(sorted(path.parent.name for path in FOLDER.glob("*/kustomization.yaml")))


@cache
def rendered(overlay: str) -> tuple[dict[str, Any], ...]:
    """Every object of the overlay, in kustomize's order. Not to be changed: it is shared."""
    return tuple(each for each in yaml.load_all(text_of(overlay), Loader=yaml.CSafeLoader) if each)


def alone(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The object in a namespace in which nothing else is: there it is made, and takes nothing from one that was."""
    metadata = dict(wanted["metadata"])
    if "namespace" in metadata:
        metadata["namespace"] = ALONE
    return {**wanted, "metadata": metadata}


@cache
def local_secrets() -> dict[str, Any]:
    """The List that the overlay `local` needs beside it, as the command prints it; its files are of a folder that goes."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            (sys.executable, "-m", "deploy.k8s.local_secrets"),
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@cache
def text_of(overlay: str) -> str:
    """As it would be piped into `kubectl apply`."""
    done = subprocess.run(
        (program("kubectl"), "kustomize", FOLDER / overlay), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
