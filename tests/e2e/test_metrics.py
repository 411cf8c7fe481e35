"""What every service shows after runs of many datasets on real components."""

import asyncio
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.stack import LocalStack
from shared.events.topology import SERVICES
from shared.observability.labels import MOST_DATASETS, OTHER
from tests.support.pipeline import Pipeline
from tests.support.source import SourceServer

pytestmark = [pytest.mark.e2e, pytest.mark.long]

DATASETS = MOST_DATASETS + 10
MOST_SERIES = 2_000

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

OF_EVERY_SERVICE = (
    "onpoint_records_handled_total",
    "onpoint_busy_seconds_total",
    "onpoint_partitions_assigned",
    "onpoint_rebalances_total",
    "onpoint_consumer_lag_measured_timestamp_seconds",
    "onpoint_cpu_limit_cores",
    "onpoint_memory_limit_bytes",
    "onpoint_memory_used_ratio",
    "onpoint_scratch_free_bytes",
    "onpoint_broker_reachable",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
)
OF_STAGES = ("onpoint_batches_total", "onpoint_batch_cpu_seconds_total")
OF_SERVICE = {
    "crawler": (
        *OF_STAGES,
        "onpoint_rows_total",
        "onpoint_bytes_total",
        "onpoint_source_requests_total",
        "onpoint_source_request_seconds_count",
        "onpoint_source_received_bytes_total",
        "onpoint_source_concurrency_limit_requests",
    ),
    "processor": (*OF_STAGES, "onpoint_rows_total", "onpoint_bytes_total"),
    "converter": (*OF_STAGES, "onpoint_rows_total", "onpoint_bytes_total"),
    "loader": (*OF_STAGES, "onpoint_rows_total", "onpoint_bytes_total", "onpoint_pool_limit_connections"),
    "s3sink": (*OF_STAGES, "onpoint_rows_total", "onpoint_bytes_total", "onpoint_pool_limit_connections"),
    "quality": (
        "onpoint_ledger_events_total",
        "onpoint_runs_completed_total",
        "onpoint_run_seconds_count",
        "onpoint_state_measured_timestamp_seconds",
        "onpoint_run_success_ratio",
        "onpoint_pool_limit_connections",
    ),
}
"""What has a value above 0 once a run is over."""


def dataset_file(name: str, source: SourceServer) -> str:
    return f"""\
name: {name}
source:
  name: src_{name}
  kind: api
  base_url: {source.url}
  path: /users
  pagination: {{kind: none}}
  requests_per_second: 0
  concurrency: 5
table: onpoint_{name}
key: [id]
columns:
  - {{name: id, type: int64}}
  - {{name: name, type: string}}
formats: [csv]
"""


@pytest.fixture
def many(tmp_path: Path, source: SourceServer) -> Iterator[LocalStack]:
    """A stack with more datasets and sources than a label shows."""
    tmp_path.chmod(0o755)
    folder = tmp_path / "datasets"
    folder.mkdir()
    for number in range(DATASETS):
        (folder / f"set{number:02}.yaml").write_text(dataset_file(f"set{number:02}", source))
    extra = {"ONPOINT_CRAWL_ALLOW_HOSTS": source.allow, "ONPOINT_DATASETS_DIR": str(folder)}
    stack = LocalStack(tmp_path / "stack", ports="free", extra_env=extra)
    try:
        with stack:
            yield stack
    finally:
        stack.down(wipe=True)


def scrape(stack: LocalStack, service: str) -> Samples:
    url = f"http://127.0.0.1:{stack.http_port(service)}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(samples: Samples, name: str, **labels: str) -> float:
    return sum(
        value
        for (found, of), value in samples.items()
        if found == name and labels.items() <= dict(of).items()
    )


@pytest.mark.timeout(360)
async def test_with_many_datasets_a_service_shows_all_it_does_in_fewer_than_2000_series(
    many: LocalStack,
) -> None:
    names = [f"set{number:02}" for number in range(DATASETS)]
    pipeline = Pipeline(many.environment())
    running = asyncio.create_task(pipeline.run({"run_id": "many", "datasets": names}, within_s=240))
    most = 0
    while not running.done():
        most = max(most, len(await asyncio.to_thread(scrape, many, "quality")))
        await asyncio.sleep(2)
    done = await running
    assert (done["status"], done["reason"]) == ("succeeded", None)
    rows = sum(summary["rows_crawled"] for summary in done["datasets"].values())
    await asyncio.sleep(12)  # the lag and the state are measured every five seconds
    found = {service: await asyncio.to_thread(scrape, many, service) for service in SERVICES}
    assert max(most, *map(len, found.values())) < MOST_SERIES, {
        name: len(each) for name, each in found.items()
    }
    for service, samples in found.items():
        for name in (*OF_EVERY_SERVICE, *OF_SERVICE[service]):
            assert total(samples, name) > 0, f"{service} shows no {name}"
        assert total(samples, "onpoint_consumer_lag_records") == 0
        assert total(samples, "onpoint_records_in_flight") == 0
    for stage in SERVICES[:5]:
        assert total(found[stage], "onpoint_batches_total", status="done") == DATASETS
        assert total(found[stage], "onpoint_batches_total", dataset=OTHER) == DATASETS - MOST_DATASETS
    assert total(found["crawler"], "onpoint_rows_total", outcome="read") == rows
    assert total(found["loader"], "onpoint_rows_total", outcome="loaded") == rows
    stored = sum(summary["bytes_stored"] for summary in done["datasets"].values())
    assert total(found["s3sink"], "onpoint_bytes_total", direction="written") == stored
    assert not [name for name, _ in found["quality"] if name == "onpoint_run_rows"], "the run has ended"
