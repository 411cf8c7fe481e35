"""What `kubectl kustomize` makes of each overlay."""

import subprocess
from functools import cache
from typing import Any, Final

import yaml

from tests.deploy.environment import ROOT, program

FOLDER: Final = ROOT / "deploy" / "k8s" / "overlays"
OVERLAYS: Final = tuple(sorted(path.parent.name for path in FOLDER.glob("*/kustomization.yaml")))


@cache
def rendered(overlay: str) -> tuple[dict[str, Any], ...]:
    """Every object of the overlay, in kustomize's order. Not to be changed: it is shared."""
    return tuple(each for each in yaml.load_all(text_of(overlay), Loader=yaml.CSafeLoader) if each)


@cache
def text_of(overlay: str) -> str:
    """As it would be piped into `kubectl apply`."""
    done = subprocess.run(
        (program("kubectl"), "kustomize", FOLDER / overlay), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
