"""Runs after every completed run, whoever asked for it: how to hook onto OnPoint without a schedule.

The triggerer watches `run.completed` as a consumer group of its own (the connection's `group.id`) and commits
what Airflow has stored. Several completions may come as one DAG run, and one may come twice.
"""  # noqa: INP001  (a folder that Airflow reads, not a package)

import logging
from datetime import UTC, datetime

from airflow.providers.apache.kafka.triggers.shared_stream import KafkaSharedStreamTrigger
from airflow.sdk import Asset, AssetWatcher, dag, get_current_context, task
from onpoint_airflow.kafka import CONNECTION_ID
from onpoint_airflow.summary import headline

from shared.errors import PermanentError
from shared.events.decode import decode_event
from shared.events.models import RunCompleted
from shared.events.topics import RUN_COMPLETED

log = logging.getLogger(__name__)

runs = Asset(
    name="onpoint_runs",
    watchers=[
        AssetWatcher(
            name="run_completed",
            trigger=KafkaSharedStreamTrigger(topics=[RUN_COMPLETED], kafka_config_id=CONNECTION_ID),
        )
    ],
)


@task
def look_at() -> list[str]:
    """The runs that completed, each once: replace this by what should follow a run."""
    found: dict[str, RunCompleted] = {}
    for event in get_current_context()["triggering_asset_events"][runs]:
        try:
            completion = decode_event(RunCompleted, event.extra["payload"].encode())
        except PermanentError as error:
            log.warning("skipped a record that is not a completion: %s", error)
            continue
        found[completion.run_id] = completion
    for completion in found.values():
        log.info("%s", headline(completion))
    return list(found)


@dag(
    dag_id="onpoint_after_run",
    description="Example: starts whenever a run completes, whoever asked for it",
    schedule=[runs],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["onpoint", "example"],
    doc_md=__doc__,
)
def onpoint_after_run() -> None:
    look_at()


onpoint_after_run()
