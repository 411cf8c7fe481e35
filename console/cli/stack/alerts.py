"""`onpoint alerts`: what Alertmanager of the local stack has."""

import http.client
import json
import os
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import typer
from rich.table import Table
from rich.text import Text

from console.cli import screen
from console.cli.errors import CommandError
from console.cli.options import ArrayAsJson
from deploy.local.config import StackConfig
from deploy.local.home import Home
from deploy.local.ports import HOST

TIMEOUT_S = 5.0
PAGE = "page"
FIRES = 1

EXAMPLES = """\b
Examples:
  onpoint alerts
  onpoint alerts --json | jq -r '.[] | select(.severity == "page") | .alert'

\b
It asks Alertmanager of `onpoint up --observe`. An alert that another one
explains is shown as muted. Exit codes: 0 no alert fires, or all that fire are
muted; 1 an alert fires, or Alertmanager does not answer; 2 wrong use.
"""

out = screen.stdout()


@dataclass(frozen=True, slots=True)
class Alert:
    alert: str
    severity: str
    where: str
    """The service, group, topic, dataset or whatever else tells it from others of its name."""
    since: str
    summary: str
    runbook: str
    is_muted: bool


def register(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(alerts)


def alerts(*, as_json: ArrayAsJson = False) -> None:
    """Show the alerts that fire, pages first."""
    config = StackConfig.load(Home.from_environment(os.environ))
    if config.observe is None:
        raise CommandError("nothing watches this stack: `onpoint down`, then `onpoint up --observe`")
    found = read_alerts(config.ports.alertmanager)
    if as_json:
        sys.stdout.write(json.dumps([asdict(alert) for alert in found], indent=2) + "\n")
    elif found:
        out.print(_table(found, datetime.now(UTC)))
    else:
        print("no alert fires")
    if not all(alert.is_muted for alert in found):
        raise typer.Exit(FIRES)


def read_alerts(port: int) -> list[Alert]:
    """Pages first, the oldest first among them. Raises `CommandError` where Alertmanager does not answer."""
    connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/api/v2/alerts?active=true")
        answer = connection.getresponse()
        found = [_alert(each) for each in json.loads(answer.read())]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        raise CommandError(
            f"Alertmanager on port {port} does not answer ({error}): see `onpoint ps`"
        ) from error
    finally:
        connection.close()
    return sorted(found, key=lambda alert: (alert.is_muted, alert.severity != PAGE, alert.since, alert.alert))


def _alert(raw: dict[str, Any]) -> Alert:
    labels, annotations, status = raw["labels"], raw["annotations"], raw["status"]
    own = {
        name: value
        for name, value in labels.items()
        if name not in {"alertname", "severity", "job", "instance"}
    }
    return Alert(
        alert=labels["alertname"],
        severity=labels.get("severity", ""),
        where=", ".join(str(value) for _, value in sorted(own.items())),
        since=raw["startsAt"],
        summary=annotations.get("summary", ""),
        runbook=annotations.get("runbook_url", ""),
        is_muted=bool(status["inhibitedBy"] or status["silencedBy"]),
    )


def _table(found: list[Alert], now: datetime) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("alert", "severity", "where", "for", "what", "runbook"):
        table.add_column(heading, overflow="fold")
    for alert in found:
        severity = "muted" if alert.is_muted else alert.severity
        colour = {PAGE: "red", "muted": "dim"}.get(severity, "yellow")
        cells = (alert.where, _age(alert.since, now), alert.summary, alert.runbook)
        table.add_row(alert.alert, Text(severity, colour), *map(Text, cells))
    return table


def _age(since: str, now: datetime) -> str:
    seconds = max(0, int((now - datetime.fromisoformat(since)).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
