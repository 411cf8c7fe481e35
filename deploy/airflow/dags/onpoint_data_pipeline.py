"""Asks OnPoint for a run at 02:00 UTC every day, waits for it without a worker slot, and says what it came to.

**Trigger w/ config** runs it by hand: other datasets, limits (`{"stories": {"limit": 500}}`), other formats.
Clearing `request_crawl` and what follows crawls again; clearing `wait_for_completion` only looks again.
"""  # noqa: INP001  (a folder that Airflow reads, no package)

from datetime import UTC, datetime, timedelta

from airflow.sdk import Param, dag
from onpoint_airflow import notices
from onpoint_airflow.tasks import read_positions, request_crawl, summarise
from onpoint_airflow.wait import WaitForRun

FORMATS = ["parquet", "csv", "json", "xlsx"]


@dag(
    dag_id="onpoint_data_pipeline",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 3,
        "retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(minutes=5),
        "on_failure_callback": notices.on_failure(),
    },
    params={
        "datasets": Param(
            ["posts", "users", "comments", "stories"], type="array", items={"type": "string"}, minItems=1
        ),
        "parameters": Param({}, type="object", description="per dataset, such as a limit"),
        "formats": Param(
            None, type=["null", "array"], items={"enum": FORMATS}, description="empty: each dataset's own"
        ),
        "fail_on_partial": Param(False, type="boolean", description="a partial run fails the DAG run too"),
        "timeout_minutes": Param(180, type="number", exclusiveMinimum=0),
    },
    render_template_as_native_obj=True,
    tags=["onpoint", "etl"],
    doc_md=__doc__,
)
def onpoint_data_pipeline() -> None:
    positions = read_positions()
    run_id = request_crawl()
    positions >> run_id
    completion = WaitForRun(
        task_id="wait_for_completion",
        run_id=run_id,
        positions=positions,
        timeout_minutes="{{ params.timeout_minutes }}",
        fail_on_partial="{{ params.fail_on_partial }}",
    )
    summarise.override(on_success_callback=notices.on_success())(completion.output)


onpoint_data_pipeline()
