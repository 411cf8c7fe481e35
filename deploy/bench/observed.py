"""What it costs to see everything: equal runs on stacks that differ in what is watched, by turns.

One stack is alone, one sends traces, one has traces, lineage, Prometheus and Alertmanager. The receiver of the traces
is not counted: it runs where the team's collector does.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil

from deploy.bench import e2e, source
from deploy.bench.usage import Meter
from deploy.local.home import PROJECT_ROOT
from deploy.local.names import ALERTMANAGER, COMPONENTS, PROMETHEUS
from deploy.local.stack import LocalStack
from shared.events.topology import SERVICES

ALONE, TRACES, ALL = "alone", "traces", "all"

TRACES_GOAL, ALL_GOAL = 0.02, 0.05


@dataclass(frozen=True, slots=True)
class Turn:
    """One run on one stack: what all its processes used, and how long it took."""

    cpu_s: float
    seconds: float


def measure(rows: int, repeat: int, report: Callable[[str], None]) -> dict[str, Any]:
    """Medians of CPU seconds and of seconds per way, and what each adds to the first in the same turn, as a share of it.

    Raises `CommandError` for a run that does not succeed, `StackError` where a stack does not start.
    """
    turns: dict[str, list[Turn]] = {ALONE: [], TRACES: [], ALL: []}
    with tempfile.TemporaryDirectory(prefix="onpoint-bench-") as name, ExitStack() as opened:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL's own user must be able to enter
        _, port = opened.enter_context(source.serving(rows, folder))
        sent = opened.enter_context(_receiver())
        ways = {
            way: opened.enter_context(_way(way, folder, source.settings(port, e2e.PAGE_ROWS), sent))
            for way in turns
        }
        for way in ways.values():
            way.run("bench-warm-up", min(e2e.WARM_UP_ROWS, rows))
        for number in range(1, repeat + 1):
            for kind, way in ways.items():
                turns[kind].append(way.run(f"bench-{number}", rows))
                report(f"turn {number} of {repeat}, {kind}: {turns[kind][-1].cpu_s:.1f} CPU s")
        if not sent.bytes:
            raise AssertionError("no trace was sent")
    return _document(rows, turns)


def _document(rows: int, turns: dict[str, list[Turn]]) -> dict[str, Any]:
    cpu_s = {way: statistics.median(turn.cpu_s for turn in found) for way, found in turns.items()}
    seconds = {way: statistics.median(turn.seconds for turn in found) for way, found in turns.items()}
    return {
        "rows": rows,
        "cpu_s": cpu_s,
        "seconds": seconds,
        "cost_cpu": {way: _cost(turns, way, lambda turn: turn.cpu_s) for way in (TRACES, ALL)},
        "cost_time": {way: _cost(turns, way, lambda turn: turn.seconds) for way in (TRACES, ALL)},
        "goal": {TRACES: TRACES_GOAL, ALL: ALL_GOAL},
    }


def _cost(turns: dict[str, list[Turn]], way: str, figure: Callable[[Turn], float]) -> float:
    """The median of what each turn added to that of the stack alone: a turn meets the same tables and neighbours."""
    pairs = zip(turns[way], turns[ALONE], strict=True)
    return statistics.median(figure(watched) / figure(alone) for watched, alone in pairs) - 1


@dataclass(frozen=True, slots=True)
class _Way:
    environment: dict[str, str]
    parts: dict[str, psutil.Process]

    def run(self, run_id: str, rows: int) -> Turn:
        with Meter(self.parts) as meter:
            e2e.run_pipeline(self.environment, run_id, rows, ())
        return Turn(sum(used.cpu_s for used in meter.usage.values()), meter.elapsed_s)


@contextmanager
def _way(way: str, folder: Path, settings: dict[str, str], sent: "_Sent") -> Iterator[_Way]:
    extra = {**settings, **e2e.NO_SWEEP}
    if way != ALONE:
        extra |= {"OTEL_EXPORTER_OTLP_ENDPOINT": sent.url, "OTEL_TRACES_EXPORTER": "otlp"}
    stack = LocalStack(folder / way, extra_env=extra, observe=way == ALL)
    try:
        with stack, ExitStack() as opened:
            environment = {**os.environ, **stack.environment()}
            names = (*SERVICES, *COMPONENTS, *((PROMETHEUS, ALERTMANAGER) if way == ALL else ()))
            parts = {name: stack.process(name) for name in names}
            if way == ALL:
                parts["lineage"] = opened.enter_context(_lineage(environment, sent))
            yield _Way(environment, parts)
    finally:
        stack.down(wipe=True)


@contextmanager
def _lineage(environment: dict[str, str], sent: "_Sent") -> Iterator[psutil.Process]:
    extra = {"ONPOINT_LINEAGE_URL": f"{sent.url}/api/v1/lineage", "ONPOINT_HTTP_PORT": "0"}
    process = subprocess.Popen(
        [sys.executable, "-m", "services.quality.lineage"],
        cwd=PROJECT_ROOT,
        env=environment | extra,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


class _Sent:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.bytes = 0


@contextmanager
def _receiver() -> Iterator[_Sent]:
    """Takes traces and lineage, counts their bytes, keeps nothing."""

    class Receiver(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            sent.bytes += len(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """No line per request."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    sent = _Sent(server.server_port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield sent
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
