"""The short tasks around the wait."""

import json
import logging
from typing import Any

from airflow.sdk import get_current_context, task

from onpoint_airflow import kafka
from onpoint_airflow.links import links_of
from onpoint_airflow.run_ids import run_id_of
from onpoint_airflow.summary import describe
from shared.events.topics import CRAWL_REQUESTED, RUN_COMPLETED

log = logging.getLogger(__name__)


@task
def read_positions() -> dict[str, int]:
    """Where `run.completed` ends now. A task of its own, before the request: a retry of the request must not move
    it past an answer that has come already.
    """
    return kafka.end_of(kafka.settings_of(kafka.CONNECTION_ID), RUN_COMPLETED)


@task
def request_crawl() -> str:
    """Asks for the run; its id. Asked twice under the same id (a retry) it is still one run."""
    context = get_current_context()
    dag_run, params = context["dag_run"], context["params"]
    run_id = run_id_of(dag_run)
    request: dict[str, Any] = {
        "run_id": run_id,
        "datasets": params["datasets"],
        "requested_by": f"airflow: {dag_run.dag_id} {dag_run.run_id}",
        "parameters": params["parameters"],
    }
    if params["formats"] is not None:
        request["formats"] = params["formats"]
    kafka.publish(
        kafka.settings_of(kafka.CONNECTION_ID), CRAWL_REQUESTED, run_id, json.dumps(request).encode()
    )
    log.info("asked for run %s: %s", run_id, request)
    return run_id


@task(show_return_value_in_logs=False)
def summarise(completion: dict[str, Any]) -> str:
    """The run's summary as text. Its notices go out when it has succeeded."""
    summary = describe(completion, links_of(get_current_context(), completion["run_id"]))
    log.info("%s", summary)
    return summary
