"""Where to look at a run."""

import os
from urllib.parse import quote

from airflow.configuration import conf
from airflow.sdk.definitions.context import Context


def links_of(context: Context, run_id: str) -> list[str]:
    dag_run = context["dag_run"]
    base = conf.get("api", "base_url", fallback="").rstrip("/")
    links = [f"progress: onpoint status {run_id}"]
    if base:
        links.append(f"Airflow: {base}/dags/{quote(dag_run.dag_id)}/runs/{quote(dag_run.run_id)}")
    if bucket := os.environ.get("ONPOINT_LAKE_BUCKET"):
        links.append(f"listing: s3://{bucket}/_runs/{run_id}.json")
    return links
