"""The shipped rules, asked by promtool: every alert fires under its fault and is silent without it."""

import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local.debian import Observers
from deploy.observe.timescale import scaled
from tests.integration.observe.cases import CASES, Case, Figures
from tests.support.records import ROOT

pytestmark = pytest.mark.integration

RULES = sorted((ROOT / "deploy" / "observe" / "rules").glob("*.yaml"))
RUNBOOKS = (ROOT / "docs" / "runbooks.md").read_text()


GROUPS = sorted(
    (group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]),
    # What is recorded is there when alerts ask for it.
    key=lambda group: "alert" in group["rules"][0],
)


def alerts() -> list[dict[str, Any]]:
    return [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]


def part(case: Case, figures: Figures, expected: list[dict[str, Any]], what: str) -> dict[str, Any]:
    firing = f'ALERTS{{alertname="{case.alert}", alertstate="firing", severity="{case.severity}"}}'
    return {
        "name": f"{case.alert} {what}",
        "interval": "15s",
        "input_series": [{"series": series, "values": values} for series, values in figures.items()],
        "promql_expr_test": [{"expr": f"count({firing})", "eval_time": case.after, "exp_samples": expected}],
    }


def asked(observers: Observers, folder: Path, tests: list[dict[str, Any]], rules: list[Path]) -> str:
    """What promtool says, empty if it is content."""
    file = folder / "test.yaml"
    document = {
        "rule_files": [str(path) for path in rules],
        "evaluation_interval": "1m",
        # Left to itself promtool takes the groups in any order: a figure may be a step late, or not.
        "group_eval_order": [group["name"] for group in GROUPS],
        "tests": tests,
    }
    file.write_text(yaml.safe_dump(document))
    done = subprocess.run(
        [observers.promtool, "test", "rules", file], capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_every_alert_fires_under_its_figures(observers: Observers, tmp_path: Path) -> None:
    tests = [part(case, case.fires, [{"labels": "{}", "value": case.count}], "fires") for case in CASES]

    assert asked(observers, tmp_path, tests, RULES) == ""


def test_every_alert_is_silent_under_figures_that_are_near(observers: Observers, tmp_path: Path) -> None:
    tests = [part(case, case.quiet, [], "is silent") for case in CASES]

    assert asked(observers, tmp_path, tests, RULES) == ""


def test_every_alert_has_a_case() -> None:
    assert {case.alert for case in CASES} == {alert["alert"] for alert in alerts()}


@pytest.mark.parametrize(
    "alert", alerts(), ids=lambda alert: f"{alert['alert']}-{alert['labels'].get('window', '')}"
)
def test_an_alert_says_what_is_wrong_how_urgent_it_is_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert alert["annotations"]["summary"]
    file, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert (file, anchor) == ("docs/runbooks.md", alert["alert"].lower())
    assert f"\n### {alert['alert']}\n" in RUNBOOKS


def test_the_runbooks_have_no_section_of_an_alert_that_is_gone() -> None:
    written = re.findall(r"^### (\w+)$", RUNBOOKS, re.MULTILINE)

    assert Counter(written) == Counter({alert["alert"] for alert in alerts()})


def test_rules_in_another_time_are_rules(observers: Observers, tmp_path: Path) -> None:
    faster = []
    for path in RULES:
        faster.append(tmp_path / path.name)
        faster[-1].write_text(yaml.safe_dump(scaled(yaml.safe_load(path.read_text()), 1 / 60)))

    done = subprocess.run(
        [observers.promtool, "check", "rules", *faster], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
