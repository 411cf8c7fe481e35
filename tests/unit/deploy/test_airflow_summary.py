"""The table of a run's summary in Airflow; the plugin is loaded by its file, as Airflow does."""

import importlib.util
from types import ModuleType
from typing import Any

import pytest

from deploy.local.home import PROJECT_ROOT
from shared.events.models import DatasetSummary
from tests.unit.console.cli.test_summary import completed, posts


@pytest.fixture(scope="module")
def summary() -> ModuleType:
    file = PROJECT_ROOT / "deploy" / "airflow" / "plugins" / "onpoint_airflow" / "summary.py"
    spec = importlib.util.spec_from_file_location("airflow_summary", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def headings(summary: ModuleType, **datasets: DatasetSummary) -> list[str]:
    document: dict[str, Any] = summary.shorten(completed(datasets=datasets))
    [line] = [line for line in summary.describe(document, []).splitlines() if line.startswith("dataset ")]
    found: list[str] = line.split()[1:4]
    return found


def test_what_transforms_did_is_shown_where_they_did_it(summary: ModuleType) -> None:
    assert headings(summary, posts=posts()) == ["crawled", "accepted", "rejected"]
    assert "filtered" in summary.describe(
        summary.shorten(completed(datasets={"posts": posts(rows_filtered=3)})), []
    )
    assert " added " in summary.describe(
        summary.shorten(completed(datasets={"posts": posts(rows_added=3)})), []
    )
