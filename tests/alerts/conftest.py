"""A stack that is observed, in a time twenty times as fast, with tables and a disk of its own."""

import json
import os
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local.stack import LocalStack
from tests.alerts.watching import Watch
from tests.support.operator import Operator
from tests.support.pipeline import Pipeline
from tests.support.source import SourceServer

TIME_SCALE = 0.05
ROWS = 2_000
DISK = "size=192m"


@pytest.fixture(scope="session")
def received() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of a receiver of alerts, and what it got."""
    got: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's own name
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", got
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small disk on which the services work."""
    folder = tmp_path_factory.mktemp("scratch")
    if os.geteuid() != 0:
        pytest.skip("a disk of its own can be made by root alone")
    subprocess.run(["mount", "-t", "tmpfs", "-o", DISK, "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="session")
async def rows() -> AsyncIterator[SourceServer]:
    posts = [{"id": number, "userId": 1, "title": f"t{number}", "body": "b"} for number in range(1, ROWS + 1)]
    async with SourceServer({"posts": posts}) as server:
        yield server


@pytest.fixture(scope="session")
def observed(
    tmp_path_factory: pytest.TempPathFactory,
    received: tuple[str, list[dict[str, Any]]],
    scratch: Path,
    rows: SourceServer,
) -> Iterator[LocalStack]:
    datasets = tmp_path_factory.mktemp("datasets")
    shipped = Path(__file__).parents[2] / "shared" / "datasets"
    watched = yaml.safe_load((shipped / "posts.yaml").read_text())
    watched |= {"name": "watched", "table": "onpoint_watched", "expect": {"every": "24h", "within": "2h"}}
    (datasets / "watched.yaml").write_text(yaml.safe_dump(watched))
    extra = {
        "ONPOINT_DATASETS_DIR": str(datasets),
        "ONPOINT_CRAWL_ALLOW_HOSTS": rows.allow,
        "ONPOINT_SOURCE_JSONPLACEHOLDER_URL": rows.url,
        "ONPOINT_SOURCE_JSONPLACEHOLDER_REQUESTS_PER_SECOND": "0",
        # Work takes as long as ever: many small batches, so that none seems to stand still.
        "ONPOINT_CRAWL_BATCH_ROWS": "100",
        "ONPOINT_KAFKA_WATCH_INTERVAL_S": "1",
        "ONPOINT_HEALTH_INTERVAL_S": "5",
        # Otherwise the supervisor mends what the alert is to tell.
        "ONPOINT_LOCAL_HANG_S": "600",
        "ONPOINT_LOCAL_OBSERVE_TIME_SCALE": str(TIME_SCALE),
        "ONPOINT_LOCAL_ALERT_WEBHOOK": received[0],
        "TMPDIR": str(scratch),
    }
    home = tmp_path_factory.mktemp("observed")
    with LocalStack(home, extra_env=extra, cdc=True, observe=True) as stack:
        yield stack
        stack.down(wipe=True)


@pytest.fixture(scope="session")
def watch(observed: LocalStack) -> Watch:
    return Watch(observed.http_port("prometheus"), observed.http_port("alertmanager"))


@pytest.fixture(scope="session")
def pipeline(observed: LocalStack) -> Pipeline:
    return Pipeline(observed.environment())


@pytest.fixture(scope="session")
def operator(observed: LocalStack) -> Operator:
    return Operator(observed.environment())
