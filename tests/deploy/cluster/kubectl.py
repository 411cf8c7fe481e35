"""kubectl as people run it."""

import os
import subprocess
from pathlib import Path

import yaml

from deploy.local.ports import HOST
from tests.deploy.cluster.api import Access
from tests.deploy.environment import program

COMMAND_TIMEOUT_S = 240


class Kubectl:
    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig

    def environment(self) -> dict[str, str]:
        """For programs that call kubectl themselves."""
        path = f"{program('kubectl').parent}{os.pathsep}{os.environ['PATH']}"
        return {"HOME": str(self.kubeconfig.parent), "KUBECONFIG": str(self.kubeconfig), "PATH": path}

    def run(self, *arguments: str, given: str | None = None) -> tuple[int, str]:
        """Exit code and all output; `given` is its standard input."""
        done = subprocess.run(
            (program("kubectl"), *arguments),
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment(),
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        return done.returncode, done.stdout


def write_kubeconfig(path: Path, access: Access) -> Path:
    """Readable by its owner alone: it holds the token."""
    cluster = {"server": f"https://{HOST}:{access.port}", "certificate-authority": str(access.ca)}
    path.touch(0o600)
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "simulated", "cluster": cluster}],
                "users": [{"name": "tests", "user": {"token": access.token}}],
                "contexts": [{"name": "simulated", "context": {"cluster": "simulated", "user": "tests"}}],
                "current-context": "simulated",
            }
        )
    )
    return path
