"""Two requests with one run id at the same moment are one run, and the first request counts."""

import asyncio
import json
import time
from collections import Counter

import pytest
from aiokafka import AIOKafkaProducer

from tests.e2e.test_whole_way import new_run
from tests.support.pipeline import Pipeline

pytestmark = pytest.mark.e2e


@pytest.mark.timeout(600)
@pytest.mark.parametrize("pairs", [20, pytest.param(200, marks=pytest.mark.faults)])
async def test_two_requests_for_each_run_at_the_same_time_give_one_run_each(
    pipeline: Pipeline, pairs: int, capsys: pytest.CaptureFixture[str]
) -> None:
    run_ids = [new_run() for _ in range(pairs)]
    datasets = ("users", "albums")
    started = time.monotonic()

    async def ask(producer: AIOKafkaProducer, run_id: str, dataset: str) -> int:
        value = json.dumps({"run_id": run_id, "datasets": [dataset], "formats": []}).encode()
        # A request's key is free: one producer sets the run's id, the other its own.
        key = run_id.encode() if dataset == "users" else dataset.encode()
        return int((await producer.send_and_wait("crawl.requested", value, key=key)).offset)

    async with (
        pipeline.completions() as completions,
        AIOKafkaProducer(bootstrap_servers=pipeline.servers, acks="all") as one,
        AIOKafkaProducer(bootstrap_servers=pipeline.servers, acks="all") as other,
    ):
        asked = [
            asyncio.create_task(ask(producer, run_id, dataset))
            for run_id in run_ids
            for producer, dataset in zip((one, other), datasets, strict=True)
        ]
        offsets = await asyncio.gather(*asked)
        ended = await completions.all(set(run_ids), 60 + 2 * pairs)
        seconds = time.monotonic() - started
        seen = Counter(value["run_id"] for value in await completions.for_a_while(3))
    assert {run_id: seen[run_id] for run_id in run_ids} == dict.fromkeys(run_ids, 1)
    first_counts = Counter[str]()
    for number, run_id in enumerate(run_ids):
        users, albums = offsets[2 * number : 2 * number + 2]
        first = datasets[0] if users < albums else datasets[1]
        first_counts[first] += 1
        assert list(ended[run_id]["datasets"]) == [first]
        assert ended[run_id]["status"] == "succeeded"
    rows = await pipeline.fetch(
        "SELECT run_id, count(*) AS n FROM onpoint_loader.loaded_batches WHERE run_id = ANY($1) GROUP BY run_id",
        run_ids,
    )
    assert {row["run_id"]: row["n"] for row in rows} == dict.fromkeys(run_ids, 1)
    with capsys.disabled():
        print(f"\n{pairs} pairs: {dict(first_counts)} were first, {seconds:.1f} s")  # noqa: T201 - the figures
