"""Every 15 minutes: reads the health of the pipeline and fails where a check has FAILED.

The connection `onpoint_quality` (type http) leads to the service quality, which measures. Each check with its values,
limits and times is in the log and in the XCom of `check_health`; a warning is there too and fails nothing.
"""  # noqa: INP001  (a folder that Airflow reads, not a package)

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException
from onpoint_airflow import notices
from onpoint_airflow.health import describe, read_report

log = logging.getLogger(__name__)


@task
def check_health() -> dict[str, Any]:
    """The report. A pipeline that has failed is not asked again within the run: the next one is due soon."""
    report = read_report()
    summary = describe(report)
    log.info("%s", summary)
    if report["status"] == "FAILED":
        get_current_context()["ti"].xcom_push(key="summary", value=summary)
        raise AirflowFailException(summary)
    return report


@dag(
    dag_id="pipeline_monitoring",
    description="Reads the health of OnPoint every 15 minutes",
    schedule=timedelta(minutes=15),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 1,
        "retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(minutes=5),
        "on_failure_callback": notices.on_failure(),
    },
    tags=["onpoint", "monitoring", "health-check"],
    doc_md=__doc__,
)
def pipeline_monitoring() -> None:
    check_health()


pipeline_monitoring()
