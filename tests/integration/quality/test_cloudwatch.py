"""Figures of runs in CloudWatch, over HTTP to a server that speaks its protocol."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.request import Request, urlopen

import boto3
import pytest
from moto.server import ThreadedMotoServer

from deploy.local.ports import free_port
from services.quality.adapters.cloudwatch import CloudWatch
from services.quality.settings import CloudWatchSettings
from services.quality.workers import cloudwatch as worker
from services.quality.workers.cloudwatch import CloudWatchExport
from shared.events.models import DatasetSummary, RunCompleted, RunStatus
from shared.observability.metrics import CLOUDWATCH_FIGURES
from tests.support.counters import gained

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    url = f"http://{host}:{port}"
    # What it holds is the process's, not the server's.
    urlopen(Request(f"{url}/moto-api/reset", method="POST")).close()  # noqa: S310
    yield url
    running.stop()


def settings(url: str, interval_s: int = 1) -> CloudWatchSettings:
    return CloudWatchSettings(cloudwatch_interval_s=interval_s, cloudwatch_endpoint_url=url)


def run(status: RunStatus = "succeeded", *, seconds: int = 90) -> RunCompleted:
    summary = DatasetSummary(
        batches=4, batches_dead=1, rows_crawled=1000, rows_rejected=50, rows_loaded=900, rows_superseded=40
    )
    return RunCompleted(
        run_id="01J00000000000000000000000",
        status=status,
        reason=None,
        requested_at=NOW - timedelta(seconds=seconds),
        started_at=NOW - timedelta(seconds=seconds),
        finished_at=NOW,
        datasets={"posts": summary},
    )


def sums(url: str) -> dict[str, tuple[float, str]]:
    """What CloudWatch tells of the pipeline's metrics: their sum and unit."""
    client = boto3.client("cloudwatch", endpoint_url=url)
    dimensions = [{"Name": "Pipeline", "Value": "OnPointETL"}]
    found = {}
    for metric in client.list_metrics(Namespace="OnPoint/DataPipeline")["Metrics"]:
        assert metric["Dimensions"] == dimensions
        answer = client.get_metric_statistics(
            Namespace="OnPoint/DataPipeline",
            MetricName=metric["MetricName"],
            Dimensions=dimensions,
            StartTime=NOW - timedelta(hours=1),
            EndTime=NOW + timedelta(hours=1),
            Period=7200,
            Statistics=["Sum"],
        )
        (point,) = answer["Datapoints"]
        found[metric["MetricName"]] = (point["Sum"], point["Unit"])
    return found


async def test_a_run_that_ends_is_told_with_its_units_and_its_dimension(server: str) -> None:
    export = CloudWatchExport(settings(server))
    export.add(run())
    async with CloudWatch(settings(server)) as cloudwatch:
        await export.send(cloudwatch)
    assert await asyncio.to_thread(sums, server) == {
        "ProcessingTime": (90, "Seconds"),
        "RecordsProcessed": (940, "Count"),
        "ErrorCount": (1, "Count"),
        "SuccessRate": (95, "Percent"),
    }


async def test_memory_and_cpu_are_told_every_interval_and_what_waits_at_the_end_too(server: str) -> None:
    export = CloudWatchExport(settings(server))
    sending = asyncio.create_task(export.send_forever())
    async with asyncio.timeout(30):
        while "MemoryUsage" not in (found := await asyncio.to_thread(sums, server)):
            await asyncio.sleep(0.2)
    assert found["MemoryUsage"][0] > 10
    assert found["MemoryUsage"][1] == "Megabytes"
    assert found["CPUUsage"][0] >= 0
    export.add(run("failed"))
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    assert (await asyncio.to_thread(sums, server))["SuccessRate"] == (0, "Percent")


async def test_in_an_outage_figures_wait_and_the_oldest_are_dropped(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "MOST_KEPT", 8)
    nowhere = f"http://127.0.0.1:{free_port()}"
    export = CloudWatchExport(settings(nowhere))
    with gained(CLOUDWATCH_FIGURES) as figures:
        for seconds in (10, 20, 30):
            export.add(run(seconds=seconds))
        async with CloudWatch(settings(nowhere)) as away:
            await export.send(away)
        async with CloudWatch(settings(server)) as cloudwatch:
            await export.send(cloudwatch)
    assert (await asyncio.to_thread(sums, server))["ProcessingTime"] == (50, "Seconds")
    assert figures == {("dropped",): 4, ("sent",): 8}


async def test_more_than_a_request_may_have_goes_in_several(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "MOST_AT_ONCE", 10)
    export = CloudWatchExport(settings(server))
    for _ in range(6):
        export.add(run(seconds=1))
    async with CloudWatch(settings(server)) as cloudwatch:
        await export.send(cloudwatch)
    assert (await asyncio.to_thread(sums, server))["ProcessingTime"] == (6, "Seconds")


def test_without_an_interval_nothing_is_kept() -> None:
    export = CloudWatchExport(CloudWatchSettings())
    export.add(run())
    assert not export.is_on
    assert not export._waiting  # noqa: SLF001 - what is not kept cannot be seen elsewhere
