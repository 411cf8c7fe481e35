"""Brings Kafka's jars and PostgreSQL's programs to this machine, once for all stacks of an installation."""

import hashlib
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deploy.local import locks, postgres_versions
from deploy.local.errors import FetchError
from deploy.local.home import CHECKOUT_HOME, COMPONENTS, IS_CHECKOUT, create_passable
from deploy.local.tools import find_maven
from deploy.local.user_folders import cache_home

POM = Path(__file__).with_name("pom.xml")
FETCH_TIMEOUT_S = 1800
MAVEN_LINES_SHOWN = 15
NETWORK_ADVICE = (
    "Maven needs the network for the first start: check the connection, or the proxy or mirror in its "
    "settings.xml, then start again"
)

PLATFORMS = {
    ("Linux", "x86_64"): "linux-amd64",
    ("Linux", "aarch64"): "linux-arm64v8",
    ("Darwin", "arm64"): "darwin-arm64v8",
    ("Darwin", "x86_64"): "darwin-amd64",
}


DEBEZIUM = "3.6.3.Final"
DEBEZIUM_SHA256 = "68dfbd3aa0e22cbc164017311449f69dfe6b96b70e72c72c7a3a24ef5c7810e0"
"""Of the archive with the connector for PostgreSQL, which is the same on every machine."""


@dataclass(frozen=True)
class Components:
    """Unpacked programs, read-only and shared by every stack of the installation."""

    kafka: Path
    """Folder of jars: Kafka's class path is all of it."""
    postgres: Path
    """Folder with `bin`, `lib` and `share`."""


def components_folder(environ: Mapping[str, str]) -> Path:
    """`ONPOINT_COMPONENTS_DIR`, or `default_components`."""
    return Path(environ.get("ONPOINT_COMPONENTS_DIR") or default_components(environ)).absolute()


def default_components(environ: Mapping[str, str], *, is_checkout: bool = IS_CHECKOUT) -> Path:
    """`components` in the checkout's own home; of an installed package in the user's cache."""
    return (CHECKOUT_HOME if is_checkout else cache_home(environ) / "onpoint") / COMPONENTS


def fetch(environ: Mapping[str, str], report: Callable[[str], None]) -> Components:
    """The components; downloads what is not there yet (about 80 MB), which needs Maven and the network.

    A half-done download never counts, and two callers do the work once.
    Raises `FetchError`, `ToolMissingError`.
    """
    target = components_folder(environ) / version_key()
    fetch_once(target, partial(_fetch_all, environ=environ, report=report), report)
    return Components(kafka=target / "kafka", postgres=target / "postgres")


def fetch_postgres(version: str, environ: Mapping[str, str], report: Callable[[str], None]) -> Path:
    """The programs of one major version of PostgreSQL; as `fetch`, which brings the default one."""
    if version == postgres_versions.DEFAULT:
        return fetch(environ, report).postgres
    release = postgres_versions.RELEASES[version]
    target = components_folder(environ) / f"{_platform()}-postgres-{release}"
    fetch_once(target, partial(_fetch_release, release, environ=environ, report=report), report)
    return target / "postgres"


def fetch_debezium(environ: Mapping[str, str], report: Callable[[str], None]) -> Path:
    """The folder of Kafka Connect's plugins: Debezium's connector for PostgreSQL (5 MB); as `fetch`."""
    target = components_folder(environ) / f"debezium-{DEBEZIUM}"
    fetch_once(target, partial(_fetch_debezium, environ=environ, report=report), report)
    return target


def fetch_once(target: Path, fill: Callable[[Path], None], report: Callable[[str], None]) -> None:
    """`fill` gets an empty folder, which becomes the target when it is whole; nothing happens where that exists."""
    root = target.parent
    if target.exists():
        return
    if root.parent == CHECKOUT_HOME:
        create_passable(CHECKOUT_HOME)
    create_passable(root)
    with locks.held(
        root / "fetch.lock",
        wait_s=FETCH_TIMEOUT_S,
        on_wait=lambda: report("waiting: another process fetches the components"),
    ):
        if not target.exists():
            _fill(target, fill)


def version_key() -> str:
    """Names the folder: another pom.xml or another kind of machine is another folder."""
    digest = hashlib.sha256(POM.read_bytes() + _platform().encode()).hexdigest()
    return f"{_platform()}-{digest[:12]}"


def _platform() -> str:
    machine = (platform.system(), platform.machine())
    if machine not in PLATFORMS:
        raise FetchError(
            f"there are no PostgreSQL programs for {' '.join(machine)}: "
            f"the local stack runs on {', '.join(PLATFORMS.values())}"
        )
    return PLATFORMS[machine]


def _fill(target: Path, fill: Callable[[Path], None]) -> None:
    for abandoned in target.parent.glob(f".{target.name}.*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        fill(temporary)
        temporary.chmod(0o755)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _fetch_all(folder: Path, *, environ: Mapping[str, str], report: Callable[[str], None]) -> None:
    report("fetching Kafka and PostgreSQL through Maven (first start only)")
    jars = folder / "kafka"
    goal = ("dependency:copy-dependencies", f"-Dpostgres.platform={_platform()}")
    _run_maven((*goal, f"-DoutputDirectory={jars}"), environ)
    report("unpacking PostgreSQL")
    _unpack_postgres(jars, folder / "postgres")


def _fetch_release(
    release: str, folder: Path, *, environ: Mapping[str, str], report: Callable[[str], None]
) -> None:
    report(f"fetching PostgreSQL {release} through Maven (first start only)")
    jars = folder / "jars"
    artifact = f"io.zonky.test.postgres:embedded-postgres-binaries-{_platform()}:{release}"
    _run_maven(("dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={jars}"), environ)
    _unpack_postgres(jars, folder / "postgres")


def _fetch_debezium(folder: Path, *, environ: Mapping[str, str], report: Callable[[str], None]) -> None:
    report(f"fetching Debezium {DEBEZIUM} through Maven (first start only)")
    artifact = f"io.debezium:debezium-connector-postgres:{DEBEZIUM}:tar.gz:plugin"
    _run_maven(("dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={folder}"), environ)
    (archive,) = folder.glob("*.tar.gz")
    if hashlib.sha256(archive.read_bytes()).hexdigest() != DEBEZIUM_SHA256:
        raise FetchError(
            f"{archive.name} is not the file that this project was tested with: look at the mirror in Maven's settings.xml"
        )
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    archive.unlink()


def _run_maven(goal: tuple[str, ...], environ: Mapping[str, str]) -> None:
    """A goal of the dependency plugin, whose version the file names."""
    command = [str(find_maven(environ)), "--batch-mode", "--quiet", f"--file={POM}", *goal]
    try:
        result = subprocess.run(  # noqa: S603  (a program of the machine with our own arguments)
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=FETCH_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"Maven did not end within {FETCH_TIMEOUT_S} s: {NETWORK_ADVICE}") from error
    if result.returncode != 0:
        lines = [line for line in result.stdout.splitlines() if line.strip()][-MAVEN_LINES_SHOWN:]
        raise FetchError(
            "\n".join(["fetching the components failed; Maven's last lines:", *lines, NETWORK_ADVICE])
        )


def _unpack_postgres(jars: Path, target: Path) -> None:
    """Unpack the archive inside PostgreSQL's jar, which is not on Kafka's class path and goes away."""
    (jar,) = jars.glob("embedded-postgres-binaries-*.jar")
    with zipfile.ZipFile(jar) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".txz")]
        with archive.open(name) as packed, tarfile.open(fileobj=packed, mode="r:xz") as tar:
            tar.extractall(target, filter="data")
    jar.unlink()
    # Another user runs these programs where root starts the stack, whatever the umask of whoever unpacks
    # them.
    for folder, _, _ in os.walk(target):
        Path(folder).chmod(0o755)
