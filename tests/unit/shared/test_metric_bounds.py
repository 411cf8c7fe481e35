"""Whatever data a process works on, it shows a bounded number of series."""

import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry

from shared.observability.labels import LABELS, MOST_DATASETS, OTHER
from shared.observability.registry import MOST_CHARS, BoundedCounter
from tests.support.records import ROOT

WORST = """
import sys
from shared.observability import metrics
from shared.observability.registry import REGISTRY
from shared.reasons import Reason

stage = sys.argv[1]
for number in range(500):
    dataset = f"dataset_{number}"
    for outcome in ("read", "accepted", "rejected", "deduplicated", "filtered", "added"):
        metrics.STAGE_ROWS.labels(stage, dataset, outcome).inc()
    for status in ("done", "dead"):
        metrics.STAGE_BATCHES.labels(stage, dataset, status).inc()
    for direction in ("read", "written"):
        metrics.STAGE_BYTES.labels(stage, dataset, direction).inc()
    for reason in Reason:
        metrics.ROWS_REJECTED.labels(stage, dataset, reason).inc()
        metrics.BATCH_FAILURES.labels(stage, reason).inc()
        metrics.DEAD_LETTERS.labels("batch.crawled", reason).inc()
    metrics.BATCH_CPU_SECONDS.labels(stage, dataset).inc()
    metrics.FIELDS_IGNORED.labels(dataset).inc()
    metrics.COLUMNS_VERSIONS.labels(dataset).inc()
for topic in ("batch.crawled", "processor.retry"):
    metrics.RECORD_SECONDS.labels(topic).observe(1)
    for outcome in ("done", "retried", "dead"):
        metrics.RECORDS_HANDLED.labels(topic, outcome).inc()
    for partition in range(6):
        metrics.CONSUMER_LAG_SECONDS.labels(topic, partition).set(1)
        metrics.CONSUMER_LAG_RECORDS.labels(topic, partition).set(1)
print(sum(len(family.samples) for family in REGISTRY.collect()))
"""


def test_a_processor_of_500_datasets_with_every_reason_of_refusal_stays_below_2000_series() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORST, "processor"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert 1_000 < int(done.stdout) < 2_000


@pytest.fixture
def counter() -> BoundedCounter:
    return BoundedCounter("test_total", "of this test", ["dataset", "outcome"], registry=CollectorRegistry())


def test_the_first_values_keep_their_names_and_the_rest_counts_together(counter: BoundedCounter) -> None:
    for number in range(MOST_DATASETS + 5):
        for _ in range(2):
            counter.labels(f"d{number}", "done").inc()
    [family] = counter.collect()
    values = {
        sample.labels["dataset"]: sample.value for sample in family.samples if sample.name == "test_total"
    }
    assert len(values) == MOST_DATASETS + 1
    assert (values["d0"], values[OTHER]) == (2, 10)


def test_a_label_without_a_bound_keeps_every_value(counter: BoundedCounter) -> None:
    assert LABELS["outcome"].most is None
    for number in range(100):
        counter.labels("d", str(number)).inc()
    [family] = counter.collect()
    assert len([sample for sample in family.samples if sample.name == "test_total"]) == 100


def test_a_hostile_name_is_cut(counter: BoundedCounter) -> None:
    counter.labels("x" * 10**6, "done").inc()
    [family] = counter.collect()
    assert {len(sample.labels["dataset"]) for sample in family.samples} == {MOST_CHARS}
