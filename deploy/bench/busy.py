"""How long each service has had work in hand, by its own metrics."""

import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from deploy.local.stack import LocalStack
from shared.events.topology import SERVICES

METRIC = "onpoint_busy_seconds_total"
TIMEOUT_S = 10


def busy_seconds(stack: LocalStack) -> dict[str, float]:
    """Of the stack's own processes, each since its start. Raises `OSError` where one does not answer."""
    return {name: _read(f"http://127.0.0.1:{stack.http_port(name)}/metrics") for name in SERVICES}


def _read(url: str) -> float:
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - http, to this machine
        text = answer.read().decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == METRIC
    )
