"""The run of a DAG run: its name in OnPoint's alphabet."""

import re
from typing import Protocol

from shared.events.ids import derive

MAX_READABLE_CHARS = 110
"""With the digest behind it a run id stays below the contract's 128."""


class DagRunLike(Protocol):
    dag_id: str
    run_id: str
    clear_number: int | None


def run_id_of(dag_run: DagRunLike) -> str:
    """Same for every try of the DAG run's tasks, so a retry asks for the same run; another one once a person has
    cleared tasks of it (Airflow counts that), since the cleared request is to crawl again.

    Readable, and distinct for distinct DAG runs: the digest tells apart what the alphabet makes look alike.
    """
    cleared = dag_run.clear_number or 0
    digest = derive(dag_run.dag_id, dag_run.run_id, cleared)[:8]
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", dag_run.run_id).strip("._-")[:MAX_READABLE_CHARS]
    return f"{readable or 'airflow'}-{digest}"
