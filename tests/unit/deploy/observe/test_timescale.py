"""Every time of a document is scaled, and nothing else."""

import re
from typing import Any

import pytest
import yaml

from deploy.observe.timescale import scaled
from tests.support.records import ROOT

OBSERVE = ROOT / "deploy" / "observe"
DOCUMENTS = sorted(
    path for folder in ("rules", "prometheus", "alertmanager") for path in (OBSERVE / folder).glob("*.yaml")
)


def rule(**fields: str) -> dict[str, Any]:
    return {"groups": [{"name": "g", "rules": [fields]}]}


def test_waiting_times_and_ranges_are_scaled() -> None:
    document = rule(expr="rate(a[10m]) > 6 and b offset 1h", **{"for": "5m"})
    assert scaled(document, 0.1) == rule(
        expr="rate(a[60000ms]) > 6 and b offset 360000ms", **{"for": "30000ms"}
    )


def test_thresholds_and_labels_stay() -> None:
    document = rule(expr='a{window="10m"} > 300', alert="A", summary="for 10m")
    assert scaled(document, 0.1) == document


def test_a_range_holds_two_scrapes_at_least() -> None:
    assert scaled(rule(expr="rate(a[5m])"), 0.001) == rule(expr="rate(a[5000ms])")


def test_a_wait_may_become_as_short_as_it_likes_and_an_interval_a_second() -> None:
    document = {"global": {"scrape_interval": "15s"}, "groups": [{"rules": [{"for": "1m", "expr": "a"}]}]}
    assert scaled(document, 0.001) == {
        "global": {"scrape_interval": "1000ms"},
        "groups": [{"rules": [{"for": "60ms", "expr": "a"}]}],
    }


def test_in_its_own_time_a_document_is_itself() -> None:
    document = rule(expr="rate(a[5m])")
    assert scaled(document, 1) is document


def test_a_duration_of_two_units_is_refused_as_it_would_be_left_as_it_is() -> None:
    with pytest.raises(ValueError, match="1h30m"):
        scaled({"for": "1h30m"}, 0.5)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_every_shipped_document_can_be_scaled(path: Any) -> None:
    text = path.read_text()
    document = yaml.safe_load(text)
    has_times = re.search(r"\b\d+(?:ms|[smhd])\b", text) is not None
    assert (scaled(document, 0.02) != document) == has_times
