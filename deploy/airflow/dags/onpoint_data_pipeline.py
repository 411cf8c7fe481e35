"""Asks OnPoint for a run at 02:00 UTC every day, waits for it without a worker slot, and summarises it.

**Trigger** runs it by hand: other datasets, limits, other formats. The summary is in the log and the XCom of `summarise`;
where the run failed, in those of `wait_for_completion`. Clearing `request_crawl` and what follows crawls again; clearing
`wait_for_completion` only looks again.
"""  # noqa: INP001  (a folder that Airflow reads, not a package)

# mypy: disable-error-code="arg-type"
# What a task returns stands below for the value that is there later.

from datetime import UTC, datetime, timedelta

from airflow.sdk import dag
from onpoint_airflow import notices
from onpoint_airflow.form import form
from onpoint_airflow.tasks import read_positions, request_crawl, summarise
from onpoint_airflow.wait import WaitForRun


@dag(
    dag_id="onpoint_data_pipeline",
    description="Asks OnPoint for its daily run, waits for it, summarises it",
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
    params=form(daily=["posts", "users", "comments", "stories"]),
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
        execution_timeout=None,  # timeout_minutes bounds it
    )
    summarise.override(on_success_callback=notices.on_success())(completion.output)


onpoint_data_pipeline()
