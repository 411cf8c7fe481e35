"""What `onpoint alerts` shows of Alertmanager's answer."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from console.cli.errors import CommandError
from console.cli.stack.alerts import read_alerts
from deploy.local.ports import free_port


def alert(
    name: str, severity: str, since: str, *, muted_by: list[str] | None = None, **labels: str
) -> dict[str, Any]:
    return {
        "labels": {
            "alertname": name,
            "severity": severity,
            "instance": "127.0.0.1:28001",
            "job": "onpoint",
            **labels,
        },
        "annotations": {"summary": f"{name} it is", "runbook_url": f"docs/runbooks.md#{name.lower()}"},
        "startsAt": since,
        "status": {"state": "active", "inhibitedBy": muted_by or [], "silencedBy": []},
    }


@contextmanager
def alertmanager(answer: str) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's own name
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_pages_come_first_and_what_another_one_explains_comes_last() -> None:
    answer = [
        alert(
            "LagSeconds", "ticket", "2026-01-01T00:00:00.000Z", muted_by=["f00d"], service="loader", topic="t"
        ),
        alert("LoopLag", "ticket", "2026-01-01T00:00:00.000Z", service="loader"),
        alert("ServiceDown", "page", "2026-01-01T00:10:00.000Z", service="quality"),
        alert("BrokerUnreachable", "page", "2026-01-01T00:05:00.000Z", service="loader"),
    ]
    with alertmanager(json.dumps(answer)) as port:
        found = read_alerts(port)
    assert [(each.alert, each.where, each.is_muted) for each in found] == [
        ("BrokerUnreachable", "loader", False),
        ("ServiceDown", "quality", False),
        ("LoopLag", "loader", False),
        ("LagSeconds", "loader, t", True),
    ]
    assert found[0].runbook == "docs/runbooks.md#brokerunreachable"


def test_an_alertmanager_that_is_away_is_told() -> None:
    with pytest.raises(CommandError, match=r"Alertmanager on port .* does not answer .*: see `onpoint ps`"):
        read_alerts(free_port())


@pytest.mark.parametrize("answer", ["", "<html>", "[{}]", '{"a": 1}'])
def test_another_program_on_its_port_is_told(answer: str) -> None:
    with alertmanager(answer) as port, pytest.raises(CommandError, match="does not answer"):
        read_alerts(port)
