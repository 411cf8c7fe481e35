"""The lineage process on a real Kafka and object store, with a receiver that can be away, slow of wit or wrong."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from pydantic import SecretStr

from services.quality.lineage import consumer as lineage
from services.quality.lineage.consumer import LineageConsumer
from services.quality.lineage.events import LineageEvents
from services.quality.lineage.naming import Places, batch_uuid
from services.quality.lineage.receivers import HttpReceiver, Receiver, TopicReceiver
from shared.bus.kafka import KafkaClients
from shared.datasets.catalog import load_catalog
from shared.datasets.frozen import RunDatasets
from shared.events import ids, topics
from shared.events.decode import encode
from shared.settings.kafka import KafkaSettings
from shared.storage.object_store import open_memory
from tests.support.bus import Topics
from tests.unit.quality.lineage.test_lineage_events import batch

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

WITHIN_S = 40.0


@dataclass
class ReceivingServer:
    """Takes what OpenLineage clients post, or answers as planned; runs that are refused are so for good."""

    events: list[dict[str, Any]] = field(default_factory=list)
    authorizations: set[str | None] = field(default_factory=set)
    planned: list[int] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    turned_away: set[str] = field(default_factory=set)
    port: int = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_post("/api/v1/lineage", self._take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        self.port = runner.addresses[0][1]
        try:
            yield
        finally:
            await runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1/lineage"

    async def _take(self, request: web.Request) -> web.Response:
        self.authorizations.add(request.headers.get("Authorization"))
        if self.planned:
            return web.Response(status=self.planned.pop(0), text="not now")
        event = await request.json()
        if event["run"]["runId"] in self.refused:
            self.turned_away.add(event["run"]["runId"])
            return web.Response(status=422, text="never")
        self.events.append(event)
        return web.Response(status=201)

    def runs(self) -> list[str]:
        """Those of batches that have ended, in order; each has started before. The topics hold other tests' runs too."""
        started, ended = set(), []
        for event in self.events:
            run_id = event["run"]["runId"]
            if event["job"]["facets"]["jobType"]["jobType"] != "STAGE":
                continue
            if event["eventType"] == "START":
                started.add(run_id)
            else:
                assert run_id in started
                ended.append(run_id)
        return ended


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> str:
    """Of this test alone: the topics are shared."""
    name = f"onpoint-lineage-{uuid.uuid4().hex[:8]}"
    monkeypatch.setattr(lineage, "GROUP", name)
    return name


@pytest.fixture
def clients(kafka_servers: str) -> KafkaClients:
    return KafkaClients(KafkaSettings(kafka_bootstrap_servers=kafka_servers), "lineage-test")


@asynccontextmanager
async def consuming(clients: KafkaClients, receiver: Receiver) -> AsyncIterator[LineageConsumer]:
    events = LineageEvents(Places("staging", "lake", "db:5432/onpoint"), "onpoint")
    staging = open_memory()
    datasets = RunDatasets(staging, lambda: load_catalog(None, {}))
    consumer = LineageConsumer(clients, events, datasets, staging, receiver, session_timeout_ms=6_000)
    task = asyncio.create_task(consumer.run())
    try:
        yield consumer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await receiver.aclose()


async def publish(clients: KafkaClients, run_id: str, batches: int, value: bytes | None = None) -> list[str]:
    """Loaded batches of a run; returns the ids of their runs in OpenLineage."""
    expected = []
    producer: AIOKafkaProducer = clients.producer()
    await producer.start()
    for sequence in range(batches):
        batch_id = ids.batch_id(run_id, "posts", sequence)
        loaded = batch("loader", run_id=run_id, batch_id=batch_id, sequence=sequence)
        sent = encode(loaded) if value is None else value
        await producer.send_and_wait(topics.BATCH_LOADED, sent, key=run_id.encode())
        expected.append(batch_uuid(batch_id, "loader"))
    await producer.stop()
    return expected


async def until(condition: Any) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0.05)


async def test_events_are_posted_in_order_with_the_token(clients: KafkaClients, group: str) -> None:  # noqa: ARG001 - a group of its own
    server, run_id = ReceivingServer(), f"lineage-{uuid.uuid4().hex[:8]}"
    async with server.running(), consuming(clients, HttpReceiver(server.url, SecretStr("s3cret"))):
        expected = await publish(clients, run_id, 3)
        await until(lambda: expected[-1] in server.runs())
    assert [run for run in server.runs() if run in expected] == expected
    assert server.authorizations == {"Bearer s3cret"}


async def test_a_receiver_that_is_away_is_waited_for_and_nothing_is_left_out(
    clients: KafkaClients,
    group: str,  # noqa: ARG001 - a group of its own
) -> None:
    server, run_id = ReceivingServer(), f"lineage-{uuid.uuid4().hex[:8]}"
    async with server.running():
        url = server.url
    async with consuming(clients, HttpReceiver(url, None)) as consumer:
        expected = await publish(clients, run_id, 3)
        await until(lambda: consumer.problem is not None)
        server.planned = [503, 401]
        async with server.running():
            await until(lambda: expected[-1] in server.runs())
            await until(lambda: consumer.problem is None)
    assert [run for run in server.runs() if run in expected] == expected


async def test_an_event_that_is_refused_for_good_does_not_stop_the_others(
    clients: KafkaClients,
    group: str,  # noqa: ARG001 - a group of its own
) -> None:
    server, run_id = ReceivingServer(), f"lineage-{uuid.uuid4().hex[:8]}"
    async with server.running(), consuming(clients, HttpReceiver(server.url, None)):
        first = await publish(clients, run_id, 1)
        await until(lambda: first[0] in server.runs())
        refused = f"{run_id}-refused"
        server.refused = {batch_uuid(ids.batch_id(refused, "posts", 0), "loader")}
        assert set(await publish(clients, refused, 1)) == server.refused
        await until(lambda: server.turned_away == server.refused)
        await publish(clients, run_id, 1, value=b"\xff no manifest")
        last = await publish(clients, f"{run_id}-last", 1)
        await until(lambda: last[0] in server.runs())
    assert not server.refused & set(server.runs())


async def test_after_a_restart_it_goes_on_where_it_was(clients: KafkaClients, group: str) -> None:
    server, run_id = ReceivingServer(), f"lineage-{uuid.uuid4().hex[:8]}"
    async with server.running():
        async with consuming(clients, HttpReceiver(server.url, None)):
            before = await publish(clients, run_id, 2)
            await until(lambda: before[-1] in server.runs())
            await asyncio.sleep(0.5)
        away = await publish(clients, f"{run_id}-away", 2)
        async with consuming(clients, HttpReceiver(server.url, None)):
            await until(lambda: away[-1] in server.runs())
    mine = [run for run in server.runs() if run in {*before, *away}]
    assert mine == [*before, *away], group


async def test_events_go_to_a_topic_keyed_by_their_run(
    clients: KafkaClients,
    kafka_servers: str,
    group: str,  # noqa: ARG001 - a group of its own
) -> None:
    made = Topics(kafka_servers)
    await made.create()
    run_id = f"lineage-{uuid.uuid4().hex[:8]}"
    async with consuming(clients, TopicReceiver(clients, made.output)):
        [expected] = await publish(clients, run_id, 1)
        reader = AIOKafkaConsumer(bootstrap_servers=kafka_servers, auto_offset_reset="earliest")
        await reader.start()
        reader.assign([TopicPartition(made.output, 0)])
        try:
            async with asyncio.timeout(WITHIN_S):
                while (record := await reader.getone()).key != expected.encode():
                    pass
        finally:
            await reader.stop()
    assert json.loads(record.value)["job"]["name"] == "posts.loader"
