"""What an operator is told where a rollout cannot begin. A whole rollout is tried in tests/deploy."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.k8s.rollout.kubectl import Kubectl, RolloutError
from tests.support.records import ROOT


def rollout(*arguments: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.k8s.rollout", *arguments],
        cwd=ROOT,
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_overlay_that_is_none_is_told_with_those_that_are(tmp_path: Path) -> None:
    done = rollout("staging", "--plan", path=tmp_path)

    assert done.returncode == 1
    assert done.stderr == "staging is no folder, and no overlay: dev, local, prod\n"


def test_without_kubectl_it_says_so(tmp_path: Path) -> None:
    done = rollout("local", "--plan", path=tmp_path)

    assert done.returncode == 1
    assert done.stderr.startswith("kubectl is not on the PATH")


def test_what_kubectl_says_is_the_error(tmp_path: Path) -> None:
    """Any program that fails will do: its words are passed on."""
    with pytest.raises(RolloutError, match="kustomize"):
        Kubectl(program=sys.executable).render(tmp_path)
