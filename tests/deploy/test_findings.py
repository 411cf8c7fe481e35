"""checkov and hadolint find nothing in what is deployed, but for exceptions of which each has its reason."""

import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.deploy.environment import ROOT, program
from tests.deploy.findings import Finding, checkov
from tests.deploy.rendered import OVERLAYS, text_of

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(600)]

EXCEPTIONS: Final = yaml.safe_load(Path(__file__).with_name("exceptions.yaml").read_text())["checkov"]
DOCKERFILES: Final = sorted(ROOT.glob("deploy/**/*Dockerfile"))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Finding]]:
    """Of each overlay."""
    folder = tmp_path_factory.mktemp("rendered")
    return {overlay: _checked(folder / f"{overlay}.yaml", text_of(overlay)) for overlay in OVERLAYS}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_checkov_finds_nothing_without_a_reason(overlay: str, found: dict[str, list[Finding]]) -> None:
    assert [each for each in found[overlay] if not any(_covers(entry, each) for entry in EXCEPTIONS)] == []


def test_every_exception_is_needed(found: dict[str, list[Finding]]) -> None:
    every = [finding for findings in found.values() for finding in findings]
    assert [entry for entry in EXCEPTIONS if not any(_covers(entry, each) for each in every)] == []


def test_every_exception_has_its_reason() -> None:
    assert [entry for entry in EXCEPTIONS if len(entry["reason"].split()) < 5] == []


def test_checkov_finds_a_container_that_may_do_everything(tmp_path: Path) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "free", "namespace": "onpoint"},
        "spec": {"containers": [{"name": "free", "image": "a:1", "securityContext": {"privileged": True}}]},
    }
    found = _checked(tmp_path / "pod.yaml", yaml.safe_dump(pod))
    assert "CKV_K8S_16" in {each.check for each in found}


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_finds_nothing(dockerfile: Path) -> None:
    done = subprocess.run((program("hadolint"), dockerfile), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def _checked(path: Path, manifests: str) -> list[Finding]:
    path.write_text(manifests)
    findings, passed = checkov(path)
    # A file that it cannot read has no findings either.
    assert passed > 0
    return findings


def _covers(entry: dict[str, Any], finding: Finding) -> bool:
    return entry["check"] == finding.check and any(
        fnmatch(finding.resource, each) for each in entry["objects"]
    )
