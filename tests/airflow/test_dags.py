"""What the DAGs are."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from tests.airflow.deployment import DAGS, PLUGINS, ROOT, Airflow

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(900)]

DESCRIBE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1], bundle_name="dags-folder")
dag = bag.dags["onpoint_data_pipeline"]
wait = dag.get_task("wait_for_completion")
print("FOUND" + json.dumps({
    "errors": bag.import_errors,
    "dags": sorted(bag.dags),
    "schedule": dag.schedule,
    "timezone": str(dag.timezone),
    "catchup": dag.catchup,
    "max_active_runs": dag.max_active_runs,
    "tags": sorted(dag.tags),
    "retries": {t.task_id: [t.retries, t.retry_delay.total_seconds()] for t in dag.tasks},
    "order": {t.task_id: sorted(t.downstream_task_ids) for t in dag.tasks},
    "notices": [type(n).__name__ for n in wait.on_failure_callback],
    "done": [type(n).__name__ for n in dag.get_task("summarise").on_success_callback],
    "bounded": {t.task_id: t.execution_timeout is not None for t in dag.tasks},
    "params": dag.params.dump(),
    "services": sorted(name for name in sys.modules if name.split(".")[0] in ("services", "console", "deploy")),
}))
"""


@pytest.fixture(scope="module")
async def found(bare: Airflow) -> dict[str, Any]:
    return await described(bare)


async def described(bare: Airflow, **environment: str) -> dict[str, Any]:
    code, output = await bare.python(DESCRIBE, str(DAGS), **environment)
    assert code == 0, output
    found: dict[str, Any] = json.loads(output.split("FOUND", 1)[1])
    return found


def test_the_daily_dag_is_what_was_asked_for(found: dict[str, Any]) -> None:
    assert found["errors"] == {}
    assert found["dags"] == ["onpoint_after_run", "onpoint_data_pipeline", "pipeline_monitoring"]
    assert found["schedule"] == "0 2 * * *"
    assert found["timezone"] == "UTC"
    assert found["catchup"] is False
    assert found["max_active_runs"] == 1
    assert "onpoint" in found["tags"]
    assert set(map(tuple, found["retries"].values())) == {(3, 300.0)}
    assert found["params"]["datasets"] == ["posts", "users", "comments", "stories"]


def test_the_time_of_a_short_task_does_not_bound_the_wait(found: dict[str, Any]) -> None:
    assert found["bounded"] == {
        "read_positions": True,
        "request_crawl": True,
        "wait_for_completion": False,
        "summarise": True,
    }


def test_positions_are_read_before_the_run_is_asked_for(found: dict[str, Any]) -> None:
    assert found["order"] == {
        "read_positions": ["request_crawl", "wait_for_completion"],
        "request_crawl": ["wait_for_completion"],
        "wait_for_completion": ["summarise"],
        "summarise": [],
    }


async def test_notices_are_off_without_settings_and_on_with_them(
    found: dict[str, Any], bare: Airflow
) -> None:
    told = await described(
        bare, ONPOINT_NOTIFY_SLACK_CONN_ID="onpoint_slack", ONPOINT_NOTIFY_EMAIL="a@example.org"
    )
    both = ["SlackWebhookNotifier", "SmtpNotifier"]
    assert (found["notices"], found["done"]) == ([], [])
    assert (told["notices"], told["done"]) == (both, both)


RENDER = """
import json, sys
from airflow.sdk import DAG
from onpoint_airflow import notices

class Task:
    task_id, log_url = "wait", "https://airflow/log?a=1&b=2"
    def xcom_pull(self, **_):
        return sys.argv[1]

dag, found = DAG("daily", schedule=None), {}
for kind, notifiers in (("success", notices.on_success()), ("failure", notices.on_failure())):
    for notifier in notifiers:
        notifier.render_template_fields({"ti": Task(), "dag": dag, "run_id": "r", "exception": sys.argv[1]})
    slack, mail = notifiers
    found[kind] = {"slack": slack.text, "mail": mail.html_content}
print("FOUND" + json.dumps(found))
"""


async def test_a_text_of_a_source_is_text_in_every_notice(bare: Airflow) -> None:
    foreign = "<img src=x onerror=alert(1)> & <!channel> {{ dag }}"
    settings = {"ONPOINT_NOTIFY_SLACK_CONN_ID": "onpoint_slack", "ONPOINT_NOTIFY_EMAIL": "a@example.org"}
    code, output = await bare.python(RENDER, foreign, **settings, PYTHONPATH=f"{ROOT}:{PLUGINS}")
    assert code == 0, output
    found = json.loads(next(line for line in output.splitlines() if line.startswith("FOUND"))[5:])
    escaped = "&lt;img src=x onerror=alert(1)&gt; &amp; &lt;!channel&gt; {{ dag }}"
    for texts in found.values():
        assert escaped in texts["mail"]
        assert escaped in texts["slack"]
        assert texts["mail"].startswith("<pre>")
        assert "<" not in texts["mail"].removeprefix("<pre>").removesuffix("</pre>")
        assert "<" not in texts["slack"]


def test_no_code_of_a_service_is_loaded(found: dict[str, Any]) -> None:
    assert found["services"] == []


def test_of_onpoint_only_the_events_and_their_errors_are_imported() -> None:
    files = [*DAGS.glob("*.py"), *PLUGINS.rglob("*.py")]
    onpoint_modules = {
        name for file in files for name in imported(file) if name.split(".")[0] != "onpoint_airflow"
    }
    onpoint_modules = {
        name for name in onpoint_modules if name.split(".")[0] in {"shared", "services", "console", "deploy"}
    }
    assert {name for name in onpoint_modules if not name.startswith("shared.events")} == {"shared.errors"}


def test_the_daily_dag_reads_in_a_minute() -> None:
    assert len((DAGS / "onpoint_data_pipeline.py").read_text().splitlines()) < 80


def imported(file: Path) -> set[str]:
    nodes = [
        node
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    return {
        name
        for node in nodes
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
    }
