"""The figures that services are scaled by, asked by promtool: what replicas they are worth, with the brake and without."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.k8s.manifests.scaling import BRAKED, LAG_S_PER_REPLICA, ROWS_PER_REPLICA, WITH_KEDA
from deploy.local.debian import Observers
from tests.support.records import ROOT

pytestmark = pytest.mark.integration

RULES = ROOT / "deploy" / "observe" / "rules" / "scaling.yaml"
SCALED = [name for name, owner in WITH_KEDA.items() if owner == "keda"]
AT_REST, SATURATED, UNKNOWN = 0, 1, None


def figures(
    service: str, *, replicas: int, lag_s: int, records: int, rows: int | None, database: int | None
) -> list[dict[str, str]]:
    """One partition of its input that waits, one of its retry topic that is never of interest, a run that goes on."""
    here = f'service="{service}", partition="0"'
    found = {
        f'onpoint_consumer_lag_seconds{{{here}, topic="batch"}}': lag_s,
        f'onpoint_consumer_lag_seconds{{{here}, topic="{service}.retry"}}': 99_999,
        f'onpoint_consumer_lag_records{{{here}, topic="batch"}}': records,
        f'onpoint_consumer_lag_records{{{here}, topic="{service}.retry"}}': 99_999,
    }
    for number in range(replicas):
        found[f'onpoint_partitions_assigned{{service="{service}", instance="{number}"}}'] = 2
    for number in range(2):
        if rows is not None:
            run = f'service="quality", instance="{number}", run="r", dataset="posts", stage="{service}"'
            found[f"onpoint_run_rows_to_go{{{run}}}"] = rows
        if database is not None:
            found[f'onpoint_health_status{{service="quality", instance="{number}", check="database"}}'] = (
                database
            )
    return [{"series": series, "values": f"{value}x20"} for series, value in found.items()]


def replicas_by(figure: str, service: str, per_replica: int) -> str:
    return f'ceil(max(service:onpoint_scaling_{figure}{{service="{service}"}}) / {per_replica})'


def asked(observers: Observers, folder: Path, series: list[dict[str, str]], expected: dict[str, int]) -> str:
    """What promtool says of figures and the replicas that they are worth; empty if it agrees."""
    tests: list[dict[str, Any]] = [
        {"expr": expression, "eval_time": "2m", "exp_samples": [{"labels": "{}", "value": value}]}
        for expression, value in expected.items()
    ]
    file = folder / "test.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "rule_files": [str(RULES)],
                "evaluation_interval": "15s",
                "tests": [{"interval": "15s", "input_series": series, "promql_expr_test": tests}],
            }
        )
    )
    done = subprocess.run(
        [observers.promtool, "test", "rules", file], capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def worth(service: str, *, lag: int, rows: int) -> dict[str, int]:
    return {
        replicas_by("lag_seconds:max", service, LAG_S_PER_REPLICA): lag,
        replicas_by("rows:sum", service, ROWS_PER_REPLICA): rows,
    }


@pytest.mark.parametrize("service", SCALED)
def test_lag_and_rows_to_go_are_worth_replicas(service: str, observers: Observers, tmp_path: Path) -> None:
    waiting = figures(service, replicas=2, lag_s=430, records=100, rows=42_000_000, database=AT_REST)

    assert asked(observers, tmp_path, waiting, worth(service, lag=8, rows=9)) == ""


@pytest.mark.parametrize("service", SCALED)
def test_rows_that_are_still_to_come_are_worth_no_more_than_the_batches_that_wait(
    service: str, observers: Observers, tmp_path: Path
) -> None:
    crawling = figures(service, replicas=2, lag_s=5, records=3, rows=100_000_000, database=AT_REST)

    assert asked(observers, tmp_path, crawling, worth(service, lag=1, rows=3)) == ""


@pytest.mark.parametrize("service", SCALED)
def test_where_nothing_waits_or_no_run_goes_on_there_is_still_a_figure(
    service: str, observers: Observers, tmp_path: Path
) -> None:
    idle = figures(service, replicas=2, lag_s=0, records=0, rows=None, database=AT_REST)

    assert asked(observers, tmp_path, idle, worth(service, lag=0, rows=0)) == ""


@pytest.mark.parametrize("database", [SATURATED, UNKNOWN])
@pytest.mark.parametrize("service", SCALED)
def test_what_writes_into_a_saturated_database_keeps_its_replicas(
    service: str, database: int | None, observers: Observers, tmp_path: Path
) -> None:
    waiting = figures(service, replicas=4, lag_s=1200, records=100, rows=42_000_000, database=database)
    expected = worth(service, lag=4, rows=4) if service in BRAKED else worth(service, lag=20, rows=9)

    assert asked(observers, tmp_path, waiting, expected) == ""


@pytest.mark.parametrize("service", sorted(BRAKED))
def test_the_brake_lets_replicas_go(service: str, observers: Observers, tmp_path: Path) -> None:
    done = figures(service, replicas=9, lag_s=100, records=100, rows=9_000_000, database=SATURATED)

    assert asked(observers, tmp_path, done, worth(service, lag=2, rows=2)) == ""
