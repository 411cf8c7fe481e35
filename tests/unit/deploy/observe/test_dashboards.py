"""The dashboards' JSON is what their code says, and asks for metrics that there are."""

import json
import re

import pytest
import yaml

from deploy.observe.dashboards.catalog import DASHBOARDS
from deploy.observe.dashboards.grafana import FOLDER, file_of, rendered
from deploy.observe.dashboards.model import Dashboard
from shared.observability import metrics
from shared.observability.registry import SECTIONS
from tests.support.records import ROOT

each = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)

RULES = sorted((ROOT / "deploy" / "observe" / "rules").glob("*.yaml"))
GROUPS = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
RECORDED = {rule["record"] for group in GROUPS for rule in group["rules"] if "record" in rule}
OF_OTHERS = {"up", "ALERTS", "process_cpu_seconds_total", "process_resident_memory_bytes"}
NAME = re.compile(r"(?<![\w:\"])(?:(?:slo|service|stage):)?onpoint_[a-z0-9_]+(?::[a-z0-9_]+)*")


def known() -> set[str]:
    """Names of series: a histogram has its buckets."""
    assert metrics.REGISTRY
    declared = [each for section in SECTIONS for each in section.declarations]
    buckets = {f"{each.name}_bucket" for each in declared if each.kind == "histogram"}
    return {each.name for each in declared} | buckets | RECORDED


@each
def test_the_json_is_what_the_code_says(dashboard: Dashboard) -> None:
    assert file_of(dashboard).read_text() == rendered(dashboard), "`make dashboards` writes it anew"


def test_there_is_no_json_of_a_dashboard_that_is_gone() -> None:
    assert set(FOLDER.glob("*.json")) == {file_of(dashboard) for dashboard in DASHBOARDS}


@each
def test_a_panel_has_a_title_of_its_own_and_a_place_that_no_other_has(dashboard: Dashboard) -> None:
    board = json.loads(rendered(dashboard))
    places = [tuple(panel["gridPos"].values()) for panel in board["panels"]]
    assert len(set(places)) == len(places)
    for row in dashboard.rows:
        titles = [panel.title for panel in row.panels]
        assert len(set(titles)) == len(titles)


@each
def test_a_panel_asks_for_series_that_there_are(dashboard: Dashboard) -> None:
    for panel in dashboard.panels:
        for query in panel.queries:
            names = set(NAME.findall(query.expr))
            assert names or any(other in query.expr for other in OF_OTHERS), query.expr
            assert names <= known(), panel.title


def test_a_rule_asks_for_series_that_there_are() -> None:
    for group in GROUPS:
        for rule in group["rules"]:
            assert set(NAME.findall(rule["expr"])) <= known(), rule
