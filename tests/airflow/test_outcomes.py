"""`airflow dags test` against the pipeline: how each ending of a run shows in Airflow."""

import pytest

from tests.airflow.deployment import Airflow
from tests.support import source as faults
from tests.support.records import TestData
from tests.support.source import SourceServer

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(900)]

DAG = "onpoint_data_pipeline"


async def test_a_succeeded_run_ends_with_a_summary(bench: Airflow, test_data: TestData) -> None:
    code, output = await bench.test_run(
        DAG,
        {
            "datasets": ["posts", "users"],
            "parameters": {"posts": {"limit": 7}},
            "formats": ["csv"],
        },
    )
    assert code == 0, output
    assert output.count(" succeeded\ntook ") == 2, "once when the outcome was evaluated, once as the summary"
    assert row_of("posts", output)[:2] == ["7", "7"]
    assert row_of("users", output)[:2] == [str(len(test_data.records["users"]))] * 2
    assert "checks: " in output
    assert "progress: onpoint status manual__" in output


async def test_a_failed_run_fails_the_task_with_the_names_of_the_failed_checks(
    bench: Airflow, unhealthy: SourceServer
) -> None:
    unhealthy.fail("/posts", faults.records([], X_Total_Count="0"))
    code, output = await bench.test_run(DAG, {"datasets": ["posts", "users"]})
    assert code == 1
    failure = next(line for line in output.splitlines() if "AirflowFailException:" in line)
    assert "failed checks (error): posts.row_count (is 0, expected min 1)" in failure
    assert (
        "task_id=summarise" not in output.split("Marking run")[0].split("[DAG TEST] end task task_id=wait")[1]
    )


async def test_a_partial_run_passes_unless_asked_otherwise(
    bench: Airflow, unhealthy: SourceServer, test_data: TestData
) -> None:
    for story in test_data.records["stories"][:10]:
        unhealthy.fail(f"/v0/item/{story['id']}.json", faults.null())
    code, output = await bench.test_run(
        DAG, {"datasets": ["stories"], "parameters": {"stories": {"limit": 20}}}
    )
    assert " partial" in output
    assert row_of("stories", output)[:3] == ["20", "10", "10"]
    assert code == 0, output


async def test_a_run_that_does_not_complete_in_time_fails_the_task(
    bench: Airflow, unhealthy: SourceServer
) -> None:
    unhealthy.fail("/posts", faults.hang())
    code, output = await bench.test_run(DAG, {"datasets": ["posts"], "timeout_minutes": 0.05})
    assert code == 1
    assert "did not complete within 0.05 minutes" in output


def row_of(dataset: str, output: str) -> list[str]:
    """The numbers of its line in the summary."""
    return next(line.split()[1:] for line in output.splitlines() if line.startswith(f"{dataset} "))
