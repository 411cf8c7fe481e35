"""kubectl, as a program: what a rollout asks of it."""

import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from deploy.k8s.rollout.plan import Object, Step

NAMESPACE = "onpoint"
FIELD_MANAGER = "onpoint-rollout"


class RolloutError(Exception):
    """kubectl ended with an error; the message is what it said."""


class Kubectl:
    def __init__(self, context: str | None = None, program: str | None = None) -> None:
        """Raises `RolloutError` where there is no kubectl."""
        found = program or shutil.which("kubectl")
        if found is None:
            raise RolloutError("kubectl is not on the PATH: https://kubernetes.io/docs/tasks/tools/")
        self._command = [found, *(["--context", context] if context else [])]

    def render(self, overlay: Path) -> list[Object]:
        """The overlay's objects. Needs no cluster."""
        text = self._run(["kustomize", str(overlay)])
        return [each for each in yaml.safe_load_all(text) if each]

    def remove(self, objects: Iterable[Object]) -> None:
        names = [f"{each['kind'].lower()}/{each['metadata']['name']}" for each in objects]
        self._run(["delete", "--namespace", NAMESPACE, "--ignore-not-found", "--wait", *names])

    def apply(self, step: Step) -> None:
        """Server-side: a number of replicas that an autoscaler owns is in no object here, and stays its own."""
        listed: dict[str, Any] = {"apiVersion": "v1", "kind": "List", "items": list(step.objects)}
        options = ["--server-side", "--force-conflicts", f"--field-manager={FIELD_MANAGER}"]
        self._run(["apply", *options, "--filename", "-"], json.dumps(listed))

    def wait(self, name: str, condition: str, timeout_s: int) -> None:
        """Until `name` (`kind/name`) is rolled out, or has the condition where there is one."""
        where = ["--namespace", NAMESPACE, f"--timeout={timeout_s}s"]
        if condition:
            self._run(["wait", *where, f"--for={condition}", name])
        else:
            self._run(["rollout", "status", *where, name])

    def _run(self, arguments: list[str], text: str | None = None) -> str:
        done = subprocess.run(  # noqa: S603 - kubectl of whoever calls
            [*self._command, *arguments], input=text, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RolloutError(done.stderr.strip() or done.stdout.strip())
        return done.stdout
