"""The DAG that reads health, against the service quality of a real pipeline."""

import asyncio
import json

import pytest

from deploy.local.stack import LocalStack
from tests.airflow.deployment import Airflow

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(900)]

DAG = "pipeline_monitoring"
OLD_REPORT_S = 11
"""Within ten seconds quality gives the report that it has."""


def connection_to(port: int) -> dict[str, str]:
    settings = {"conn_type": "http", "schema": "http", "host": "127.0.0.1", "port": port}
    return {"AIRFLOW_CONN_ONPOINT_QUALITY": json.dumps(settings)}


async def test_a_pipeline_without_a_failure_passes_and_one_that_failed_fails_with_the_reason(
    bench: Airflow, stack: LocalStack
) -> None:
    quality = connection_to(stack.http_port("quality"))
    code, output = await bench.test_run(DAG, {}, **quality)
    assert code == 0, output
    assert "the pipeline is " in output
    for name in ("database", "freshness", "latency", "error_rate", "resources"):
        assert f"{name}: " in output
    await asyncio.to_thread(stack.stop, "crawler")
    try:
        await asyncio.sleep(OLD_REPORT_S)
        code, output = await bench.test_run(DAG, {}, **quality)
    finally:
        await asyncio.to_thread(stack.start, "crawler")
    assert code == 1
    assert "the pipeline is FAILED" in output
    assert "crawler: FAILED since" in output
    assert "it does not answer" in output


async def test_a_quality_that_does_not_answer_fails_the_task(bare: Airflow) -> None:
    code, output = await bare.test_run(DAG, {}, **connection_to(1))
    assert code == 1
    assert "quality does not answer at 127.0.0.1" in output
