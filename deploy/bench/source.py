"""The demo source as a process, and the settings that lead to it."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from console.cli.errors import CommandError
from deploy.local.home import PROJECT_ROOT

HOST = "127.0.0.1"
START_TIMEOUT_S = 30.0


@contextmanager
def serving(rows: int, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`rows` generated posts on a free port of this machine: the process and its port. Ends it at the end."""
    port_file = folder / "source.port"
    command = [sys.executable, "-m", "deploy.demo.source", "--rows", str(rows), "--port-file", str(port_file)]
    process = subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.DEVNULL)  # noqa: S603 - this very interpreter
    try:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not port_file.exists():
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise CommandError("the demo source did not start: try `python -m deploy.demo.source`")
            time.sleep(0.05)
        yield process, int(port_file.read_text())
    finally:
        process.terminate()
        process.wait()


def settings(port: int, page_rows: int) -> dict[str, str]:
    """For the crawler: as fast as the source gives, in pages of `page_rows`."""
    return {
        "ONPOINT_CRAWL_ALLOW_HOSTS": f"{HOST}:{port}",
        "ONPOINT_SOURCE_JSONPLACEHOLDER_URL": f"http://{HOST}:{port}",
        "ONPOINT_SOURCE_JSONPLACEHOLDER_REQUESTS_PER_SECOND": "0",
        "ONPOINT_SOURCE_JSONPLACEHOLDER_PAGE_SIZE": str(page_rows),
    }
