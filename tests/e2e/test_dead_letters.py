"""Dead letters as a work queue, on batches that die for real: their artifacts are damaged behind the pipeline's back."""

import asyncio
import json
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from deploy.local.stack import LocalStack
from tests.e2e.test_whole_way import assert_row_accounting, new_run
from tests.support.operator import Operator
from tests.support.pipeline import Pipeline
from tests.support.records import TestData

pytestmark = pytest.mark.e2e

WITHIN_S = 90


@pytest.fixture
def operator(pipeline: Pipeline) -> Operator:
    return Operator(pipeline.environment)


class Damage:
    """Takes a stage's artifacts of some runs away, or puts others in their place, and can mend it again."""

    def __init__(self, pipeline: Pipeline, stage: str, extension: str) -> None:
        self._pipeline = pipeline
        self._where = f"/{stage}/"
        self._extension = extension
        self._whole: dict[str, bytes] = {}

    def of(self, *run_ids: str) -> list[str]:
        keys = self._pipeline.keys(self._pipeline.staging_bucket)
        return [
            key
            for key in keys
            if key.startswith(tuple(f"runs/{run_id}/" for run_id in run_ids))
            and self._where in key
            and key.endswith(f".{self._extension}")
            and "quarantine" not in key
            and "requests" not in key
        ]

    def delete(self, *run_ids: str) -> None:
        for key in self._remembered(*run_ids):
            self._pipeline.s3.delete_object(Bucket=self._pipeline.staging_bucket, Key=key)

    def overwrite(self, *run_ids: str) -> None:
        for key in self._remembered(*run_ids):
            self._pipeline.s3.put_object(Bucket=self._pipeline.staging_bucket, Key=key, Body=b"damaged")

    def mend(self) -> None:
        for key, data in self._whole.items():
            self._pipeline.s3.put_object(Bucket=self._pipeline.staging_bucket, Key=key, Body=data)

    def _remembered(self, *run_ids: str) -> list[str]:
        for key in self.of(*run_ids):
            self._whole[key] = self._pipeline.read(f"s3://{self._pipeline.staging_bucket}/{key}")
        return list(self._whole)


async def wait_for_stage(pipeline: Pipeline, stage: str, run_ids: list[str], batches: int) -> None:
    """Until at least `batches` batches of the runs are done at the stage."""
    async with asyncio.timeout(WITHIN_S + batches):
        while True:
            (row,) = await pipeline.fetch(
                "SELECT coalesce(sum(batches_done), 0)::int AS n FROM onpoint_runs.v_progress "
                "WHERE stage = $1 AND run_id = ANY($2)",
                stage,
                run_ids,
            )
            if row["n"] >= batches:
                return
            await asyncio.sleep(0.3)


async def wait_until_read(pipeline: Pipeline, service: str) -> None:
    """Until the service has committed all that was in its retry topic."""
    topic = f"{service}.retry"
    partitions = [TopicPartition(topic, number) for number in range(6)]
    consumer = AIOKafkaConsumer(bootstrap_servers=pipeline.servers, group_id=None)
    admin = AIOKafkaAdminClient(bootstrap_servers=pipeline.servers)
    await consumer.start()
    await admin.start()
    try:
        ends = await consumer.end_offsets(partitions)
        async with asyncio.timeout(WITHIN_S):
            while True:
                offsets = await admin.list_consumer_group_offsets(f"onpoint-{service}")
                if all(
                    ends[tp] == 0 or (tp in offsets and offsets[tp].offset >= ends[tp]) for tp in partitions
                ):
                    return
                await asyncio.sleep(0.2)
    finally:
        await admin.close()
        await consumer.stop()


async def result_of(pipeline: Pipeline, run_id: str, stage: str) -> list[tuple[Any, ...]]:
    rows = await pipeline.fetch(
        "SELECT batch_id, status, rows_read FROM onpoint_runs.v_results WHERE run_id = $1 AND stage = $2",
        run_id,
        stage,
    )
    return [tuple(row) for row in rows]


async def test_a_batch_that_died_is_shown_replayed_and_loaded_once_however_often_it_is_replayed(
    stack: LocalStack, pipeline: Pipeline, operator: Operator, test_data: TestData
) -> None:
    run_id, damage = new_run(), Damage(pipeline, "processor", "parquet")
    expected = test_data.expected("albums")
    async with pipeline.completions() as completions:
        await asyncio.to_thread(stack.stop, "loader")
        try:
            await pipeline.request({"run_id": run_id, "datasets": ["albums"]})
            # The other stages read the same object: they are done with it before it is removed.
            await wait_for_stage(pipeline, "s3sink", [run_id], 1)
            await wait_for_stage(pipeline, "converter", [run_id], 1)
            damage.delete(run_id)
        finally:
            await asyncio.to_thread(stack.start, "loader")
        done = await completions.of(run_id, WITHIN_S)
        assert done["datasets"]["albums"]["rows_not_loaded"] == len(expected)

        (dead_letter,) = await operator.dead_letters("--run", run_id)
        assert (dead_letter["state"], dead_letter["stage"], dead_letter["reason"]) == (
            "open",
            "loader",
            "object_missing",
        )
        shown = (await operator.run("dlq", "show", dead_letter["entry"], "--json")).json()
        assert json.loads(shown["record"]["value"])["run_id"] == run_id
        (behind,) = shown["data"]
        assert (behind["rows"], "is not there" in behind["problem"]) == ([], True)

        # Nothing was mended: it dies again, and that is one open entry.
        assert (await operator.run("dlq", "replay", dead_letter["entry"])).code == 0
        await wait_until_read(pipeline, "loader")
        (again,) = await operator.dead_letters("--run", run_id)
        assert (again["state"], again["deaths"]) == ("open", 2)
        assert again["original"] == dead_letter["original"]

        damage.mend()
        shown = (await operator.run("dlq", "show", again["entry"], "--json", "--rows", "2")).json()
        assert [row["title"] for row in shown["data"][0]["rows"]] == [row[2] for row in expected[:2]]
        seen = []
        for _ in range(2):
            assert (await operator.run("dlq", "replay", again["entry"])).code == 0
            await wait_for_stage(pipeline, "loader", [run_id], 1)
            await wait_until_read(pipeline, "loader")
            seen.append(
                await pipeline.fetch("SELECT * FROM onpoint_albums WHERE _run_id = $1 ORDER BY id", run_id)
            )
            assert await pipeline.rows("albums", f"_run_id = '{run_id}'") == expected
        assert seen[0] == seen[1], "not even the time of loading"
        assert await result_of(pipeline, run_id, "loader") == [(again["batch_id"], "done", len(expected))]
        assert [entry["state"] for entry in await operator.dead_letters("--run", run_id)] == ["resolved"]
        assert await operator.dead_letters("--run", run_id, state="open") == []
        later = [value for value in await completions.for_a_while(2) if value["run_id"] == run_id]
    assert later == [done], "run.completed does not come again"
    actions = await pipeline.fetch(
        "SELECT action, acknowledged_at IS NOT NULL AS done FROM onpoint_console.dlq_actions WHERE run_id = $1",
        run_id,
    )
    assert [(row["action"], row["done"]) for row in actions] == [("replay", True)] * 3


async def test_a_batch_that_died_early_goes_the_whole_way_after_its_run_has_ended(
    stack: LocalStack, pipeline: Pipeline, operator: Operator, test_data: TestData
) -> None:
    run_id, damage = new_run(), Damage(pipeline, "crawler", "jsonl.zst")
    expected = test_data.expected("todos")
    async with pipeline.completions() as completions:
        await asyncio.to_thread(stack.stop, "processor")
        try:
            await pipeline.request({"run_id": run_id, "datasets": ["todos", "users"]})
            await wait_for_stage(pipeline, "crawler", [run_id], 2)
            damage.overwrite(run_id)
        finally:
            await asyncio.to_thread(stack.start, "processor")
        done = await completions.of(run_id, WITHIN_S)
    assert done["status"] == "failed"
    dead_letters = await operator.dead_letters(
        "--run", run_id, "--reason", "checksum", "--stage", "processor"
    )
    assert len(dead_letters) == 2

    damage.mend()
    result = await operator.run("dlq", "replay", "--run", run_id, "--json")
    assert sorted(result.json()["replayed"]) == sorted(dead_letter["entry"] for dead_letter in dead_letters)
    for stage in ("processor", "converter", "loader", "s3sink"):
        await wait_for_stage(pipeline, stage, [run_id], 2)
    assert await pipeline.rows("todos", f"_run_id = '{run_id}'") == expected
    async with asyncio.timeout(WITHIN_S):
        while not pipeline.listing(run_id)["datasets"]["todos"]["objects"]:
            await asyncio.sleep(0.3)
    assert pipeline.lake_rows(run_id, "todos") == expected
    assert {dead_letter["state"] for dead_letter in await operator.dead_letters("--run", run_id)} == {
        "resolved"
    }


async def test_a_discarded_one_leaves_the_queue_with_a_reason_and_stays_in_its_topic(
    pipeline: Pipeline, operator: Operator
) -> None:
    key = new_run().encode()
    await pipeline.publish("batch.processed", b"{", key=key)
    async with asyncio.timeout(30):
        while not await pipeline.dead_letters("loader", key):
            await asyncio.sleep(0.2)
    dead_letter = next(
        found
        for found in await operator.dead_letters("--service", "loader", "--reason", "decode", state="open")
        if found["bytes"] == len(key) + 1
    )

    result = await operator.run("dlq", "discard", dead_letter["entry"], "--reason", "garbage of a test")

    assert (result.code, result.out) == (0, "discarded 1 dead letter\n")
    shown = (await operator.run("dlq", "show", dead_letter["entry"], "--json")).json()
    assert (shown["state"], shown["last_action"]["reason"]) == ("discarded", "garbage of a test")
    assert (shown["record"]["key"], shown["record"]["value"]) == (key.decode(), "{")


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.faults)])
async def test_many_dead_letters_replayed_twice_during_a_running_load_are_loaded_once(
    stack: LocalStack, pipeline: Pipeline, operator: Operator, test_data: TestData, count: int
) -> None:
    datasets = ("users", "posts", "albums", "todos")
    run_ids = [new_run() for _ in range(count // len(datasets))]
    damage = Damage(pipeline, "processor", "parquet")
    async with pipeline.completions() as completions:
        await asyncio.to_thread(stack.stop, "loader")
        try:
            for run_id in run_ids:
                await pipeline.request({"run_id": run_id, "datasets": list(datasets), "formats": []})
            for stage in ("converter", "s3sink"):
                await wait_for_stage(pipeline, stage, run_ids, count)
            damage.overwrite(*run_ids)
        finally:
            await asyncio.to_thread(stack.start, "loader")
        await completions.all(set(run_ids), WITHIN_S + count)
        mine = ("--service", "loader", "--reason", "checksum")
        dead_letters = [one for one in await operator.dead_letters(*mine) if one["run_id"] in run_ids]
        assert len(dead_letters) == count
        assert {dead_letter["state"] for dead_letter in dead_letters} == {"open"}
        damage.mend()

        load = [new_run() for _ in range(3)]
        for run_id in load:
            await pipeline.request({"run_id": run_id, "datasets": [*datasets, "comments", "photos"]})
        for _ in range(2):
            result = await operator.run("dlq", "replay", *mine, "--state", "all", "--json", within_s=300)
            assert result.code == 0, result.err
            assert {dead_letter["entry"] for dead_letter in dead_letters} <= set(result.json()["replayed"])
        finished = await completions.all(set(load), WITHIN_S + count)
        await wait_for_stage(pipeline, "loader", run_ids, count)
        await wait_until_read(pipeline, "loader")
        completed = [value["run_id"] for value in await completions.for_a_while(2)]

    assert sorted(completed) == sorted(set(completed)), "one completion for each run"
    newest = finished[load[-1]]
    assert (newest["status"], newest["reason"]) == ("succeeded", None)
    # Each batch is loaded once, and all of its rows are accounted for.
    batches = await pipeline.fetch(
        "SELECT dataset, status, rows_loaded + rows_superseded AS rows FROM onpoint_loader.loaded_batches "
        "WHERE run_id = ANY($1)",
        run_ids,
    )
    assert sorted((row["dataset"], row["status"], row["rows"]) for row in batches) == sorted(
        (dataset, "done", len(test_data.records[dataset])) for dataset in datasets for _ in run_ids
    )
    # The newest request wins, though the older ones were loaded after it.
    for dataset in (*datasets, "comments", "photos"):
        assert await pipeline.rows(dataset) == test_data.expected(dataset)
        (who,) = await pipeline.fetch(f"SELECT DISTINCT _run_id FROM onpoint_{dataset}")
        assert who["_run_id"] == load[-1]
        assert_row_accounting(newest["datasets"][dataset])
    after = [one for one in await operator.dead_letters(*mine) if one["run_id"] in run_ids]
    assert [(one["entry"], one["state"], one["deaths"]) for one in after] == [
        (one["entry"], "resolved", 1) for one in dead_letters
    ]
    (row,) = await pipeline.fetch(
        "SELECT count(*) AS n FROM onpoint_console.dlq_actions WHERE run_id = ANY($1) AND acknowledged_at IS NOT NULL",
        run_ids,
    )
    assert row["n"] == 2 * count
