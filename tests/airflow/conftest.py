"""Two Airflows against one pipeline: a bench for `airflow dags test`, and one with all its processes."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from deploy.local.stack import LocalStack
from tests.airflow.deployment import AIRFLOW, DAGS, Airflow, until
from tests.airflow.mailboxes import Mailboxes
from tests.support.pipeline import Pipeline
from tests.support.source import SourceServer

START_TIMEOUT_S = 600
NO_KAFKA = "127.0.0.1:1"


@pytest.fixture(scope="session", autouse=True)
def _installed() -> None:
    if not AIRFLOW.exists():
        pytest.fail("there is no .venv-airflow yet: `make airflow-env`")


@pytest.fixture(scope="session")
def pipeline(stack: LocalStack) -> Pipeline:
    return Pipeline(stack.environment())


@pytest.fixture
async def unhealthy(source: SourceServer) -> AsyncIterator[SourceServer]:
    yield source
    source.heal()


@pytest.fixture
async def let_go(stack: LocalStack) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """No accepted run completes until it is called: the processor is away. Refused ones do."""
    away = True

    async def let_go() -> None:
        nonlocal away
        if away:
            away = False
            await asyncio.to_thread(stack.start, "processor")

    await asyncio.to_thread(stack.stop, "processor")
    yield let_go
    await let_go()


@pytest.fixture(scope="session")
async def mailboxes() -> AsyncIterator[Mailboxes]:
    async with Mailboxes() as mailboxes:
        yield mailboxes


@pytest.fixture(scope="session")
async def bare(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """Only the command line, and no Kafka."""
    airflow = Airflow(tmp_path_factory.mktemp("bench"), NO_KAFKA, DAGS, {})
    code, output = await airflow.command("db", "migrate")
    assert code == 0, output
    return airflow


@pytest.fixture(scope="session")
def bench(bare: Airflow, pipeline: Pipeline) -> Airflow:
    """Only the command line; no process of Airflow's runs."""
    return Airflow(bare.home, pipeline.servers, DAGS, {})


@pytest.fixture(scope="session")
async def airflow(
    pipeline: Pipeline, mailboxes: Mailboxes, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Airflow]:
    """Scheduler, DAG processor, triggerer and API server, on PostgreSQL; notices go to the mailboxes."""
    home = tmp_path_factory.mktemp("airflow")
    admin = await asyncpg.connect(pipeline.environment["ONPOINT_POSTGRES_DSN"])
    await admin.execute("CREATE DATABASE airflow")
    await admin.close()
    dsn = pipeline.environment["ONPOINT_POSTGRES_DSN"].rsplit("/", 1)[0] + "/airflow"
    airflow = Airflow(
        home,
        pipeline.servers,
        copies_of_dags(home / "dags"),
        {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": dsn.replace("postgresql://", "postgresql+psycopg2://"),
            "ONPOINT_LAKE_BUCKET": pipeline.lake_bucket,
            **mailboxes.settings(),
        },
    )
    try:
        code, output = await airflow.command("db", "migrate")
        assert code == 0, output
        airflow.start("api-server", "dag-processor", "scheduler", "triggerer")
        await until(airflow.is_up, START_TIMEOUT_S, "Airflow to be up")
        await until(lambda: _are_known(airflow), START_TIMEOUT_S, "the DAGs to be known")
        await airflow.post("/pools", {"name": "gate", "slots": 16, "include_deferred": False})
        yield airflow
    finally:
        await asyncio.to_thread(airflow.stop)


def copies_of_dags(folder: Path) -> Path:
    """The DAGs as they are but for the pause before a retry, and three copies of the daily one that tests need:
    several runs at once; a wait that does not start before its pool has room; a request that dies once it has been
    made.
    """
    shutil.copytree(DAGS, folder)
    daily = folder / "onpoint_data_pipeline.py"
    pause = '"retry_delay": timedelta(minutes=5)'
    shipped = daily.read_text()
    assert shipped.count(pause) == 1
    shipped = shipped.replace(pause, '"retry_delay": timedelta(seconds=1)')
    daily.write_text(shipped)
    for name, more in {
        "at_once": "",
        "gated": 'made.get_task("wait_for_completion").pool = "gate"\n',
        "stumbling": (
            "def stumble(context, result=None):\n"
            '    if context["ti"].try_number == 1:\n'
            '        raise RuntimeError("died after the request")\n\n\n'
            'made.get_task("request_crawl")._post_execute_hook = stumble\n'
        ),
    }.items():
        text = shipped
        for old, new in {
            'dag_id="onpoint_data_pipeline"': f'dag_id="{name}"',
            'schedule="0 2 * * *"': "schedule=None",
            "max_active_runs=1": "max_active_runs=16",
            "\nonpoint_data_pipeline()\n": "\nmade = onpoint_data_pipeline()\n",
        }.items():
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (folder / f"{name}.py").write_text(text + more)
    return folder


async def _are_known(airflow: Airflow) -> bool:
    found = await airflow.get("/dags")
    return len(found["dags"]) == 6
