"""Kubernetes' own programs, built from their Go modules once for all clones on a machine."""

import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from deploy.local.fetch import fetch_once
from deploy.local.user_folders import cache_home

PLACE = Path(__file__).parent
BUILD_TIMEOUT_S = 5_400
LINES_SHOWN = 15

KUBERNETES: Final = "1.37.2"
CONTROL_PLANE: Final = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
}
VALIDATOR: Final = {"kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform"}


class BuildError(Exception):
    """A program could not be built. The message says what to do."""


def cluster_cache(environ: Mapping[str, str]) -> Path:
    """`ONPOINT_CLUSTER_CACHE`, or the user's cache."""
    return Path(
        environ.get("ONPOINT_CLUSTER_CACHE") or cache_home(environ) / "onpoint" / "cluster"
    ).absolute()


def control_plane(environ: Mapping[str, str], report: Callable[[str], None]) -> Path:
    """The folder of etcd, the API server, the controller manager, the scheduler and kwok.

    The first call builds them: 15 min of two processors, 420 MB here and 4 GB in Go's own cache.
    Raises `BuildError`.
    """
    report_once = partial(
        report, "building Kubernetes' control plane from its Go modules (once, about 15 min)"
    )
    return _built("kubernetes", CONTROL_PLANE, environ, report_once)


def validator(environ: Mapping[str, str], report: Callable[[str], None]) -> Path:
    """The folder of kubeconform; the first call builds it in seconds. Raises `BuildError`."""
    return _built("kubeconform", VALIDATOR, environ, partial(report, "building kubeconform"))


def go(environ: Mapping[str, str], folder: Path, *arguments: str) -> str:
    """The output of the Go command. Raises `BuildError` if it fails or there is none."""
    program = shutil.which("go", path=environ.get("PATH"))
    if program is None:
        raise BuildError("go was not found: install Go 1.26 or newer; Kubernetes' programs are built with it")
    # The module's files decide what is built, whatever workspace the clone lies in.
    done = subprocess.run(
        (program, *arguments),
        cwd=folder,
        env={**environ, "GOWORK": "off", "GOFLAGS": "-mod=readonly -buildvcs=false"},
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if not line.startswith("go: downloading")]
        raise BuildError("\n".join([f"go {' '.join(arguments[:2])} failed:", *lines[-LINES_SHOWN:]]))
    return done.stdout


def _built(
    module: str, programs: Mapping[str, str], environ: Mapping[str, str], report_once: Callable[[], None]
) -> Path:
    """A folder in the cache, named by the module's files and the machine."""
    sources = PLACE / module
    digest = hashlib.sha256((sources / "go.mod").read_bytes() + (sources / "go.sum").read_bytes())
    machine = f"{platform.system()}-{platform.machine()}".lower()
    target = cluster_cache(environ) / f"{module}-{machine}-{digest.hexdigest()[:12]}"

    def build(folder: Path) -> None:
        report_once()
        for name, package in programs.items():
            go(environ, sources, "build", "-ldflags", _LINKED, "-o", str(folder / name), package)

    fetch_once(target, build, print)
    return target


def _linked() -> str:
    """Without symbols. Kubernetes' programs take their version from the linker and refuse to start without."""
    major, minor, _ = KUBERNETES.split(".")
    version = {"gitVersion": f"v{KUBERNETES}", "gitMajor": major, "gitMinor": minor}
    return " ".join(
        ["-s -w", *(f"-X k8s.io/component-base/version.{key}={value}" for key, value in version.items())]
    )


_LINKED = _linked()

if __name__ == "__main__":
    for built in (control_plane, validator):
        print(built(os.environ, print))  # noqa: T201  (a command)
