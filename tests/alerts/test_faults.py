"""Each alert under the fault that it names, on the local stack with the real Prometheus and Alertmanager.

The tests are one story on one stack, in the order of this file: each mends what it broke.
"""

import asyncio
import contextlib
import signal
import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.stack import LocalStack
from deploy.observe.dashboards.catalog import DASHBOARDS
from tests.alerts.watching import Watch
from tests.support.operator import Operator
from tests.support.pipeline import Pipeline

pytestmark = [pytest.mark.alerts, pytest.mark.timeout(240)]

OF_THE_MACHINE = {"LoopLag"}
"""A second of delay is a second in any time: on a machine that does other work beside the tests this alert is true."""
QUIET_S = 20.0
"""More than five minutes of the rules' time."""
POISONS = 30
TABLE_TAKES_NOTHING = """
CREATE FUNCTION take_nothing() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = 'XX000'; END $$;
CREATE TRIGGER takes_nothing BEFORE INSERT OR UPDATE ON onpoint_watched FOR EACH STATEMENT EXECUTE FUNCTION take_nothing();
"""


@pytest.fixture(scope="module")
async def began(observed: LocalStack, watch: Watch) -> float:
    """The moment from which on nothing fires any more: services were away while they started."""
    assert observed
    await watch.ends(within_s=90)
    return time.time()


async def test_a_clean_run_stays_quiet(began: float, watch: Watch, operator: Operator) -> None:
    done = await operator.run("run", "watched", "--wait", within_s=200)
    assert done.code == 0, done.out + done.err
    await asyncio.sleep(QUIET_S)
    assert await watch.fired(began) - OF_THE_MACHINE == set()


async def test_every_panel_has_data_after_a_run(began: float, watch: Watch) -> None:
    empty = [
        f"{dashboard.title}: {panel.title}: {query.expr}"
        for dashboard in DASHBOARDS
        for panel in dashboard.panels
        for query in panel.queries
        if not panel.only_under and not await watch.has_data(asked(query.expr), began - 30)
    ]
    assert empty == []


async def test_every_panel_that_needs_a_fault_is_a_question_that_prometheus_understands(
    began: float, watch: Watch
) -> None:
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels:
            for query in panel.queries:
                await watch.has_data(asked(query.expr), began)


def asked(expr: str) -> str:
    """As Grafana asks where `All` is chosen."""
    return expr.replace("$service", ".*").replace("$run", ".*")


async def test_poison_events_are_told(
    watch: Watch, pipeline: Pipeline, received: tuple[str, list[dict[str, Any]]]
) -> None:
    async with AIOKafkaProducer(bootstrap_servers=pipeline.servers, acks="all") as producer:
        for _ in range(POISONS):
            await producer.send_and_wait("batch.crawled", b"{", key=b"poison")
    found = await watch.fires("NewDeadLetters", "DeadLetterRatio")
    assert found["DeadLetterRatio"]["labels"]["severity"] == "page"
    assert found["DeadLetterRatio"]["annotations"]["runbook_url"] == "docs/runbooks.md#deadletterratio"
    await until(lambda: "DeadLetterRatio" in names_of(received[1], "page"))
    await watch.ends("NewDeadLetters", "DeadLetterRatio")


async def test_a_service_that_is_paused_is_told_by_its_group(
    observed: LocalStack, watch: Watch, pipeline: Pipeline
) -> None:
    observed.kill("loader", signal.SIGSTOP)
    try:
        async with AIOKafkaProducer(bootstrap_servers=pipeline.servers, acks="all") as producer:

            async def go_on() -> None:
                while True:
                    await producer.send_and_wait("batch.processed", b"{", key=b"poison")
                    await asyncio.sleep(1)

            sending = asyncio.create_task(go_on())
            await watch.fires("ServiceDown", "ConsumerStalled", within_s=150)
            sending.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            observed.kill("loader", signal.SIGCONT)
    await watch.ends("ServiceDown", "ConsumerStalled")


async def test_a_stale_table_and_an_overdue_run_are_told(
    watch: Watch, observed: LocalStack, operator: Operator
) -> None:
    connection = await asyncpg.connect(observed.environment()["ONPOINT_POSTGRES_DSN"])
    try:
        await connection.execute(
            "UPDATE onpoint_runs.runs SET requested_at = requested_at - interval '30 hours', "
            "finished_at = finished_at - interval '30 hours'"
        )
        await connection.execute("UPDATE onpoint_news.expectations SET since = since - interval '30 hours'")
    finally:
        await connection.close()
    await watch.fires("TableStale", "RunOverdue", "FreshnessBurn")
    done = await operator.run("run", "watched", "--wait", within_s=200)
    assert done.code == 0, done.out + done.err
    await watch.ends("TableStale", "RunOverdue")


async def test_a_disk_that_is_nearly_full_is_told(watch: Watch, scratch: Path) -> None:
    full = scratch / "full"
    with contextlib.suppress(OSError), full.open("wb") as file:
        for _ in range(185):
            file.write(bytes(1024 * 1024))
            file.flush()
    await watch.fires("DiskWillFill")
    full.unlink()
    await watch.ends("DiskWillFill")


async def test_the_brake_is_told(watch: Watch, observed: LocalStack, operator: Operator) -> None:
    """A table takes nothing, for a reason that may pass: each batch is tried again, until it has no tries left."""
    connection = await asyncpg.connect(observed.environment()["ONPOINT_POSTGRES_DSN"])
    try:
        await connection.execute(TABLE_TAKES_NOTHING)
        asked = await operator.run("run", "watched")
        assert asked.code == 0, asked.err
        found = await watch.fires("BrakeOpen")
        assert found["BrakeOpen"]["labels"]["service"] == "loader"
        await connection.execute("DROP TRIGGER takes_nothing ON onpoint_watched")
    finally:
        await connection.close()
    assert (await operator.run("resume", "loader")).code == 0
    await watch.ends("BrakeOpen")


async def test_a_slot_that_is_dropped_is_told(watch: Watch, observed: LocalStack) -> None:
    observed.stop("kafka-connect")
    connection = await asyncpg.connect(observed.environment()["ONPOINT_POSTGRES_DSN"])
    try:
        await until_done(connection, "SELECT pg_drop_replication_slot('onpoint_cdc')")
    finally:
        await connection.close()
    await watch.fires("SlotLost")


async def test_a_broker_that_is_stopped_is_told_and_what_follows_is_not(
    watch: Watch, observed: LocalStack
) -> None:
    observed.stop("kafka")
    found = await watch.fires("BrokerUnreachable")
    assert found["BrokerUnreachable"]["labels"]["severity"] == "page"
    observed.start("kafka")
    await watch.ends("BrokerUnreachable")


def names_of(messages: list[dict[str, Any]], receiver: str) -> set[str]:
    return {
        alert["labels"]["alertname"]
        for message in messages
        if message["receiver"] == receiver
        for alert in message["alerts"]
    }


async def until(holds: Any, within_s: float = 60) -> None:
    ends = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < ends
        await asyncio.sleep(0.5)


async def until_done(connection: asyncpg.Connection, statement: str, within_s: float = 30) -> None:
    ends = time.monotonic() + within_s
    while True:
        try:
            await connection.execute(statement)
        except asyncpg.ObjectInUseError:
            assert time.monotonic() < ends
            await asyncio.sleep(0.5)
        else:
            return
