"""`onpoint topics restore`: what Kafka lacks of the runs that PostgreSQL and staging know."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.local.buckets import make_buckets
from shared.events import topics
from shared.events.decode import encode
from shared.events.models import CrawlRequest
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.storage import keys
from shared.storage.object_store import ObjectStore, open_s3
from tests.integration.console.played import Onpoint, Services, completed

pytestmark = pytest.mark.integration

NOTHING = {"completions": [], "unfinished": [], "too_old": [], "never_accepted": [], "dead_letter_actions": 0}


@pytest.fixture
async def staging(s3_environment: dict[str, str], settings: dict[str, str]) -> ObjectStore:
    """A bucket of the test's own, so that the runs in it are."""
    name = f"staging-{uuid.uuid4().hex[:12]}"
    settings["ONPOINT_STAGING_BUCKET"] = name
    await make_buckets([name], s3_environment["ONPOINT_S3_ENDPOINT_URL"])
    found = load_settings(ObjectStoreSettings, s3_environment | {"ONPOINT_STAGING_BUCKET": name})
    return open_s3(found, found.staging_bucket)


@pytest.fixture(autouse=True)
async def announced(ledger: asyncpg.Connection) -> None:
    """The function of quality; its own test is among quality's."""
    await ledger.execute(
        "CREATE FUNCTION onpoint_runs.announce_again() RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint'"
    )


def new_run() -> str:
    return f"lost-{uuid.uuid4().hex[:12]}"


async def insert(ledger: asyncpg.Connection, run_id: str, value: dict[str, Any] | None) -> None:
    await ledger.execute(
        "INSERT INTO onpoint_runs.v_runs (run_id, status, requested_at, finished_at, datasets, completed) "
        "VALUES ($1, $2, now(), now(), '{posts}', $3)",
        run_id,
        "running" if value is None else value["status"],
        None if value is None else json.dumps(value),
    )


async def records_of(servers: str, topic: str, run_id: str) -> list[dict[str, Any]]:
    """The values that a reader of committed records finds under the run's id."""
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, isolation_level="read_committed")
    await consumer.start()
    try:
        place = TopicPartition(topic, 0)
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        end = (await consumer.end_offsets([place]))[place]
        found = []
        while await consumer.position(place) < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += [json.loads(record.value) for record in records if record.key == run_id.encode()]
        return found
    finally:
        await consumer.stop()


async def test_where_nothing_is_lost_nothing_is_published(
    onpoint: Onpoint, ledger: asyncpg.Connection, services: Services, staging: ObjectStore, kafka_servers: str
) -> None:
    run_id = new_run()
    await insert(ledger, run_id, await services.complete(run_id))
    await staging.put(keys.request_key(run_id), accepted(run_id))

    result = await onpoint("topics", "restore", "--json")

    assert (result.code, json.loads(result.out)) == (0, NOTHING)
    assert len(await records_of(kafka_servers, topics.RUN_COMPLETED, run_id)) == 1


@pytest.mark.long
async def test_an_end_that_the_ledger_alone_knows_is_published_once(
    onpoint: Onpoint, ledger: asyncpg.Connection, staging: ObjectStore, kafka_servers: str
) -> None:
    run_id = new_run()
    value = completed(run_id, "partial")
    await insert(ledger, run_id, value)
    assert not await staging.folders("runs/")

    shown = await onpoint("topics", "restore", "--dry-run")
    assert shown.out.splitlines()[0] == "would publish run.completed of 1 run"
    assert await records_of(kafka_servers, topics.RUN_COMPLETED, run_id) == []
    first = await onpoint("topics", "restore")
    again = await onpoint("topics", "restore", "--json")

    assert first.out.splitlines() == ["published run.completed of 1 run", "published the request of 0 runs"]
    assert json.loads(again.out) == NOTHING
    assert await records_of(kafka_servers, topics.RUN_COMPLETED, run_id) == [value]


async def test_a_run_whose_last_record_is_there_is_left_to_quality(
    onpoint: Onpoint, ledger: asyncpg.Connection, staging: ObjectStore, kafka_servers: str
) -> None:
    run_id = new_run()
    await insert(ledger, run_id, completed(run_id))
    assert not await staging.folders("runs/")
    async with AIOKafkaProducer(bootstrap_servers=kafka_servers) as producer:
        await producer.send_and_wait(topics.RUN_DRAINED, b"{}", key=run_id.encode())

    result = await onpoint("topics", "restore", "--json")

    assert json.loads(result.out) == NOTHING


def accepted(run_id: str, *, days_ago: int = 0) -> bytes:
    """The request as the crawler stores it."""
    return encode(
        CrawlRequest(
            run_id=run_id,
            datasets=("posts",),
            requested_at=datetime.now(UTC) - timedelta(days=days_ago),
            requested_by="airflow",
            formats=("csv",),
        )
    )


async def test_a_run_that_had_not_ended_is_asked_for_as_it_was_accepted(
    onpoint: Onpoint, ledger: asyncpg.Connection, services: Services, staging: ObjectStore
) -> None:
    known, unknown = new_run(), new_run()
    await insert(ledger, known, None)
    await staging.put(keys.request_key(known), accepted(known, days_ago=30))
    await staging.put(keys.request_key(unknown), accepted(unknown))

    result = await onpoint("topics", "restore", "--json")

    assert json.loads(result.out) == NOTHING | {"unfinished": sorted([known, unknown])}
    for run_id in sorted([known, unknown]):
        record, value = await services.requested()
        assert record.key == run_id.encode()
        assert (value["run_id"], value["datasets"], value["formats"]) == (run_id, ["posts"], ["csv"])
        assert value["requested_by"] == "airflow"
        assert not {"requested_at", "refused"} & value.keys()


@pytest.mark.long
async def test_a_run_that_the_ledger_forgot_is_left_alone_once_its_files_may_be_swept(
    onpoint: Onpoint, staging: ObjectStore
) -> None:
    run_id = new_run()
    await staging.put(keys.request_key(run_id), accepted(run_id, days_ago=8))

    left = await onpoint("topics", "restore")
    kept = await onpoint("topics", "restore", "--dry-run", ONPOINT_STAGING_TTL_HOURS="240")

    assert f"left alone, the ledger does not know them and their files may be swept: {run_id}" in left.out
    assert "published the request of 0 runs" in left.out
    assert f"would publish the request of 1 run: {run_id}" in kept.out


async def test_a_run_that_no_service_had_taken_up_is_named(
    onpoint: Onpoint, ledger: asyncpg.Connection, staging: ObjectStore
) -> None:
    asked, cancelled = new_run(), new_run()
    for run_id in (asked, cancelled):
        await insert(ledger, run_id, None)
    await staging.put(keys.cancel_key(cancelled), b"{}")

    result = await onpoint("topics", "restore")

    assert "published the request of 0 runs" in result.out
    named = " and ".join(sorted([asked, cancelled]))
    assert f"ask again, no service had taken them up: {named}" in result.out


async def test_an_action_on_a_dead_letter_that_is_gone_counts_no_longer_and_another_stays(
    onpoint: Onpoint, ledger: asyncpg.Connection, staging: ObjectStore, kafka_servers: str
) -> None:
    assert not await staging.folders("runs/")
    async with AIOKafkaProducer(bootstrap_servers=kafka_servers) as producer:
        there = await producer.send_and_wait(topics.dead_letter_topic("loader"), b"{}", key=b"k", partition=0)
    for offset in (there.offset, there.offset + 1_000_000):
        await ledger.execute(
            'INSERT INTO onpoint_console.dlq_actions (actor, action, service, "partition", "offset") '
            "VALUES ('me', 'discard', 'loader', 0, $1)",
            offset,
        )

    result = await onpoint("topics", "restore")

    assert "no longer counted: 1 action on dead letters that are gone" in result.out
    rows = await ledger.fetch('SELECT service, "offset" FROM onpoint_console.dlq_actions ORDER BY id')
    assert [tuple(row) for row in rows] == [
        ("loader", there.offset),
        ("loader (lost)", there.offset + 1_000_000),
    ]


async def test_a_database_of_an_earlier_version_is_named(
    onpoint: Onpoint, ledger: asyncpg.Connection, staging: ObjectStore
) -> None:
    assert not await staging.folders("runs/")
    await ledger.execute("DROP FUNCTION onpoint_runs.announce_again()")

    result = await onpoint("topics", "restore")

    assert (result.code, result.err) == (
        1,
        "onpoint: the database is of an earlier version: run `onpoint migrate`\n",
    )
