"""docker-compose.yml on a Docker engine, as an operator has it: up, scale, upgrade, kill, down."""

import json
import os
import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.compose import credentials
from tests.compose.commands import run
from tests.compose.engine import Engine

ROOT = Path(__file__).parents[2]
PROJECT = "onpoint"
SOURCE = "records"
ALLOWED = f"{SOURCE}:8000"
PORTS = {"KAFKA": 21092, "POSTGRES": 21432, "S3": 21333}
PAGE_SIZE = 100
VOLUMES = ("kafka", "postgres", "seaweedfs")


def crawler_settings(url: str, allowed: str) -> dict[str, str]:
    """Of the tests' source."""
    return {
        "ONPOINT_CRAWL_ALLOW_HOSTS": allowed,
        **{
            f"ONPOINT_SOURCE_{name}_{setting}": value
            for name in ("JSONPLACEHOLDER", "HACKERNEWS")
            for setting, value in (
                ("URL", url),
                ("REQUESTS_PER_SECOND", "0"),
                ("PAGE_SIZE", str(PAGE_SIZE)),
            )
        },
    }


@dataclass
class Cluster:
    engine: Engine
    version: str
    cold_start_s: float = 0.0

    @property
    def secrets(self) -> Path:
        return self.engine.folder / "secrets"

    def prepare(self) -> None:
        """The two files that an operator writes or has written: secrets, and settings of the services."""
        credentials.create(self.secrets)
        settings = crawler_settings(f"http://{ALLOWED}", ALLOWED)
        self._settings.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    def compose(self, *arguments: str, stdin: str = "", version: str | None = None) -> str:
        command = ("compose", "--project-directory", str(ROOT), *arguments)
        return run("docker", *command, env=self.environment(version or self.version), stdin=stdin)

    def environment(self, version: str) -> dict[str, str]:
        ports = {f"ONPOINT_COMPOSE_PORT_{name}": str(port) for name, port in PORTS.items()}
        clean = {
            name: value for name, value in self.engine.environment.items() if not name.startswith("ONPOINT_")
        }
        return {
            **clean,
            **ports,
            "ONPOINT_VERSION": version,
            "ONPOINT_COMPOSE_SECRETS": str(self.secrets),
            "ONPOINT_COMPOSE_ENV": str(self._settings),
        }

    def up(self, *arguments: str, version: str | None = None) -> float:
        """Seconds until everything is healthy."""
        began = time.monotonic()
        self.compose(
            "up", "--detach", "--no-build", "--wait", "--wait-timeout", "240", *arguments, version=version
        )
        return time.monotonic() - began

    def set_for_services(self, settings: Mapping[str, str]) -> None:
        """Adds settings of the services; those that run do not have them yet."""
        with self._settings.open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in settings.items())

    def serve_records(self, data: Path) -> None:
        """The tests' source, in a container where the crawler can reach it."""
        mounts = ("-v", f"{ROOT / 'tests'}:/records/tests:ro", "-v", f"{data}:/data:ro")
        paths = ("-e", "PYTHONPATH=/app:/records", "-e", "ONPOINT_TEST_DATA=/data")
        place = ("--network", f"{PROJECT}_sources", "--network-alias", SOURCE, "--name", SOURCE)
        image = f"onpoint:{self.version}"
        self.engine.docker(
            "run",
            "-d",
            "--no-healthcheck",
            *place,
            *mounts,
            *paths,
            image,
            "python",
            "-m",
            "tests.compose.serve_records",
        )

    def remove_records(self) -> None:
        self.engine.docker("rm", "--force", SOURCE, check=False)

    def client_environment(self) -> dict[str, str]:
        """What programs on this machine need."""
        return credentials.environment(
            self.secrets, lambda service, port: self.compose("port", service, str(port)).strip()
        )

    def containers(self, service: str) -> list[dict[str, Any]]:
        """What the engine knows of the running containers of a service."""
        ids = self.compose("ps", "--quiet", service).split()
        found: list[dict[str, Any]] = json.loads(self.engine.docker("inspect", *ids)) if ids else []
        return found

    def kill(self, service: str) -> int:
        """Sends SIGKILL from outside the engine, which then sees a crash and not a stop. Returns the pid."""
        pid: int = self.containers(service)[0]["State"]["Pid"]
        assert pid > 1
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_restarted(self, service: str, pid: int, within_s: float = 60) -> None:
        until = time.monotonic() + within_s
        while True:
            state = self.containers(service)[0]["State"]
            if state["Pid"] not in {0, pid} and state["Health"]["Status"] == "healthy":
                return
            assert time.monotonic() < until, f"{service} did not come back: {state}"
            time.sleep(0.2)

    def back_up(self, folder: Path) -> None:
        """The volumes of a cluster that is down."""
        for volume in VOLUMES:
            self._tar("-C", "/volume", "-cf", f"/backup/{volume}.tar", ".", volume=volume, folder=folder)

    def restore(self, folder: Path) -> None:
        """Into the empty volumes of a new cluster, which does not run afterwards either."""
        self.compose("create", "--no-build")
        for volume in VOLUMES:
            self._tar("-C", "/volume", "-xf", f"/backup/{volume}.tar", volume=volume, folder=folder)

    def _tar(self, *arguments: str, volume: str, folder: Path) -> None:
        mounts = ("-v", f"{PROJECT}_{volume}:/volume", "-v", f"{folder}:/backup")
        image = f"onpoint:{self.version}"
        self.engine.docker(
            "run", "--rm", "--user", "0", "--network", "none", *mounts, image, "tar", *arguments
        )

    def logs(self, services: Iterable[str] = ()) -> str:
        return self.compose("logs", "--no-color", *services)

    def image_size(self, name: str) -> int:
        return int(self.engine.docker("image", "inspect", "--format", "{{.Size}}", name))

    def memory(self) -> str:
        """The memory that each container uses now."""
        return self.engine.docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}")

    @property
    def _settings(self) -> Path:
        return self.engine.folder / "compose.env"
