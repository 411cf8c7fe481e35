"""A stand-in of AWS over HTTP, in a process of its own."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.ports import HOST, free_port
from tests.support.records import ROOT

START_S = 60
REGION = "eu-central-1"


class Aws:
    """Listens on loopback only. A context manager."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "aws.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://{HOST}:{free_port()}"

    def __enter__(self) -> Self:
        port = self.url.rpartition(":")[2]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.terraform.stand_in", "-H", HOST, "-p", port],
                cwd=ROOT,
                env={**os.environ, "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"},
                stdout=log,
                stderr=log,
            )
        began = time.monotonic()
        while not self._answers():
            assert time.monotonic() - began < START_S, self._log.read_text()[-2000:]
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    def environment(self) -> dict[str, str]:
        """For programs that use it as AWS."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
        return {
            **kept,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/moto-api/", timeout=1):  # noqa: S310 - our own address
                return True
        except (urllib.error.URLError, OSError):
            return False
