"""The project as a user gets it: a wheel, installed in an environment of its own, far from the checkout."""

import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.release.constraints import constraints
from tests.support.installation import Installation
from tests.support.records import ROOT
from tests.support.source import SourceServer


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What `make dist` builds of the code, by its suffix: `whl`, made from the content of `gz`."""
    folder = tmp_path_factory.mktemp("dist")
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--quiet",
        "--outdir",
        folder,
        ROOT,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {file.suffix.removeprefix("."): file for file in folder.iterdir()}


@pytest.fixture(scope="session")
def installation(
    archives: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, source: SourceServer
) -> Iterator[Installation]:
    """The wheel with the extra `local`, in the versions of the lock; what runs of it is stopped at the end."""
    base = tmp_path_factory.mktemp("installation")
    for name in ("home", "empty"):
        (base / name).mkdir()
    pins = base / "constraints.txt"
    pins.write_text("\n".join(constraints((ROOT / "requirements.lock").read_text())))
    venv.create(base / "venv", with_pip=True)
    programs = base / "venv" / "bin"
    # Isolated: pip would take a package that PYTHONPATH leads to for one that is installed.
    pip = (
        programs / "python",
        "-I",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-compile",
    )
    subprocess.run([*pip, "-c", pins, f"{archives['whl']}[local]"], check=True)
    inherited = {name: os.environ[name] for name in ("JAVA_HOME", "TMPDIR") if name in os.environ}
    environment = inherited | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(base / "home"),
        "ONPOINT_PORTS": "free",
        "ONPOINT_CRAWL_ALLOW_HOSTS": source.allow,
        "ONPOINT_SOURCE_JSONPLACEHOLDER_URL": source.url,
    }
    installed = Installation(programs, base / "empty", environment)
    yield installed
    installed.run("onpoint", "down", "--wipe")
