"""The command line as a program of its own, on a real Kafka and PostgreSQL; the services are played by the test."""

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.local.stack import LocalStack
from shared.events.topics import CRAWL_REQUESTED
from shared.postgres.migrations import find_migrations
from tests.integration.console.played import Onpoint, Result, Services, Start, ended

ROOT = Path(__file__).parents[3]

LEDGER = """
CREATE SCHEMA onpoint_runs;
CREATE TABLE onpoint_runs.v_runs (
    run_id text, status text, reason text, requested_by text, requested_at timestamptz, started_at timestamptz,
    finished_at timestamptz, datasets text[], completed jsonb, replay_of text, superseded_by text,
    from_stage text, rows_crawled bigint, rows_accepted bigint, rows_rejected bigint, rows_loaded bigint,
    rows_stored bigint
);
CREATE TABLE onpoint_runs.v_stage_times (
    run_id text, dataset text, stage text, batches bigint, rows bigint, cpu_ms bigint, begun_at timestamptz,
    first_at timestamptz, last_at timestamptz, half_at timestamptz, half_batches bigint, half_rows bigint, delay_s float8
);
CREATE TABLE onpoint_runs.v_waiting (
    run_id text, dataset text, stage text, batches bigint, since timestamptz
);
CREATE TABLE onpoint_runs.v_progress (
    run_id text, dataset text, stage text, batches_planned bigint, rows_planned bigint, batches_done bigint,
    batches_dead bigint, rows bigint
);
CREATE TABLE onpoint_runs.v_results (
    batch_id text, stage text, run_id text, dataset text, sequence bigint, status text, reason text,
    rows_read bigint, recorded_at timestamptz
);
CREATE TABLE onpoint_runs.v_audit_results (
    batch_id text, stage text, run_id text, dataset text, sequence bigint, status text, reason text,
    rows_read bigint, rows_accepted bigint, rows_rejected bigint, rows_deduplicated bigint, rows_loaded bigint,
    rows_superseded bigint, artifacts jsonb, missing jsonb, revived_at timestamptz, promised bigint,
    repeated bigint, rejected_by_reason jsonb, absent text[], rows_filtered bigint, rows_added bigint
);
CREATE TABLE onpoint_runs.v_combined_exports (
    run_id text, dataset text, format text, status text, detail text, batches bigint, manifest text, artifacts jsonb,
    produced_at timestamptz
);
"""
"""Tables in the shape of quality's views: a test fills the ledger. That the views have this shape is a test
of its own."""


@pytest.fixture
async def ledger(components: LocalStack) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a database of its own with an empty ledger in it."""
    server = components.environment()["ONPOINT_POSTGRES_DSN"]
    name = f"console_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(server)
    await admin.execute(f'CREATE DATABASE "{name}"')
    connection = await asyncpg.connect(server.rsplit("/", 1)[0] + "/" + name)
    await connection.execute(LEDGER)
    for migration in find_migrations("console"):
        await connection.execute(migration.sql)
    yield connection
    await connection.close()
    await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await admin.close()


@pytest.fixture
async def settings(components: LocalStack, ledger: asyncpg.Connection) -> dict[str, str]:
    environment = components.environment()
    database = await ledger.fetchval("SELECT current_database()")
    dsn = environment["ONPOINT_POSTGRES_DSN"].rsplit("/", 1)[0] + "/" + database
    return {**environment, "ONPOINT_POSTGRES_DSN": dsn}


@pytest.fixture
def start(settings: dict[str, str]) -> Start:
    async def start_program(*words: str, **changes: str) -> asyncio.subprocess.Process:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("ONPOINT_", "PG"))
        }
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "console",
            *words,
            cwd=ROOT,
            env={**inherited, **settings, "NO_COLOR": "1", **changes},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    return start_program


@pytest.fixture
def onpoint(start: Start) -> Onpoint:
    async def run_program(*words: str, **changes: str) -> Result:
        return await ended(await start(*words, **changes))

    return run_program


@pytest.fixture
async def services(kafka_servers: str) -> AsyncIterator[Services]:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka_servers, group_id=None)
    await consumer.start()
    partition = TopicPartition(CRAWL_REQUESTED, 0)
    consumer.assign([partition])
    await consumer.seek_to_end(partition)
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka_servers, transactional_id=f"played-{uuid.uuid4().hex}"
    )
    await producer.start()
    yield Services(consumer, producer)
    await producer.stop()
    await consumer.stop()
