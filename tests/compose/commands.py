"""Programs of this machine."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = {
    "dockerd": "docker.io",
    "docker": "docker.io",
    "mmdebstrap": "mmdebstrap",
    "iptables": "iptables",
    "ip": "iproute2",
}
"""And the Debian package that each is in."""

POLICY = Path("/usr/sbin/policy-rc.d")
START_NOTHING = "#!/bin/sh\nexit 101\n"


def run(*command: str, env: Mapping[str, str] | None = None, stdin: str = "", check: bool = True) -> str:
    """The program's output. Raises `RuntimeError` with that output when it fails."""
    done = subprocess.run(
        command, env=env, input=stdin, capture_output=True, text=True, errors="replace", check=False
    )
    if check and done.returncode != 0:
        output = (done.stdout + done.stderr)[-4000:]
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{output}")
    return done.stdout


def install() -> list[str]:
    """Installs the packages that are missing; returns their names."""
    if os.geteuid() != 0:
        raise RuntimeError("a Docker engine needs root")
    missing = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
    if missing:
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run("apt-get", "update", "-qq", env=quiet)
        with _no_service_starts():
            run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, env=quiet)
    return missing


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Debian starts what it installs: the engine of the tests would find another one."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text(START_NOTHING)
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
