"""Reads what the services publish in a group of its own, and hands lineage events over, at least once and in order.

Nothing waits for it: it may be behind, or away for as long as the topics keep their records.
"""

from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.quality.lineage.events import LineageEvent, LineageEvents
from services.quality.lineage.receivers import Receiver
from shared.bus.consumer import GroupConsumer
from shared.bus.kafka import KafkaClients, to_record
from shared.bus.messages import Record
from shared.datasets.frozen import RunDatasets
from shared.errors import PermanentError, TransientError
from shared.events import topics
from shared.events.decode import decode_event
from shared.events.models import BatchManifest, CrawlPlanned, RunCompleted
from shared.events.topology import FOLLOWS, PARENT_STAGE
from shared.observability.logging import get_logger
from shared.runtime.background import Outage
from shared.storage import keys
from shared.storage.object_store import ObjectStore

GROUP: Final = topics.consumer_group("lineage")
TOPICS: Final = FOLLOWS["lineage"]

log = get_logger()

Translate = Callable[[bytes], Coroutine[Any, Any, list[LineageEvent]]]


class LineageConsumer:
    def __init__(
        self,
        kafka: KafkaClients,
        events: LineageEvents,
        datasets: RunDatasets,
        staging: ObjectStore,
        receiver: Receiver,
        *,
        session_timeout_ms: int = 10_000,
    ) -> None:
        self._kafka = kafka
        self._events = events
        self._datasets = datasets
        self._staging = staging
        self._receiver = receiver
        self._session_timeout_ms = session_timeout_ms
        self._translate: Mapping[str, Translate] = {
            topics.CRAWL_PLANNED: self._started,
            topics.RUN_COMPLETED: self._ended,
        }
        self.problem: str | None = None
        """Why events do not go out, for people; None: they do."""

    async def run(self) -> None:
        """Never returns. Waits through outages of Kafka, staging and the receiver."""
        outage = Outage("lineage_paused", "lineage_resumed")
        while True:
            consumer = self._kafka.consumer_of(
                GroupConsumer,
                denied=lambda *_: None,
                group_id=GROUP,
                enable_auto_commit=False,
                isolation_level="read_committed",
                session_timeout_ms=self._session_timeout_ms,
                heartbeat_interval_ms=1_000,
            )
            try:
                consumer.subscribe(TOPICS)
                await self._kafka.start(consumer)
                while True:
                    await self._next(consumer, outage)
            except KafkaError as error:
                self.problem = repr(error)
                await outage.wait(error)
            finally:
                await consumer.stop()

    async def _next(self, consumer: GroupConsumer, outage: Outage) -> None:
        raw = await consumer.getone()
        record = to_record(raw)
        while True:
            try:
                for event in await self._events_of(record):
                    await self._receiver.send(event)
            except TransientError as error:
                self.problem = str(error)
                await outage.wait(error)
            else:
                break
        self.problem = None
        outage.end()
        await consumer.commit({TopicPartition(raw.topic, raw.partition): raw.offset + 1})

    async def _events_of(self, record: Record) -> list[LineageEvent]:
        """None for a record that tells nothing of a batch or run; the service that reads it has its dead letter."""
        try:
            return await self._translate.get(record.topic, self._batch)(record.value or b"")
        except PermanentError as error:
            log.warning(
                "lineage_record_skipped", topic=record.topic, offset=record.offset, detail=str(error)[:300]
            )
            return []

    async def _started(self, value: bytes) -> list[LineageEvent]:
        event = self._events.run_started(decode_event(CrawlPlanned, value))
        return [] if event is None else [event]

    async def _ended(self, value: bytes) -> list[LineageEvent]:
        completed = decode_event(RunCompleted, value)
        datasets = await self._datasets.find_all(completed.run_id, completed.datasets)
        return [self._events.run_ended(completed, datasets)]

    async def _batch(self, value: bytes) -> list[LineageEvent]:
        batch = decode_event(BatchManifest, value)
        found = await self._datasets.find_all(batch.run_id, [batch.dataset])
        dataset = found.get(batch.dataset)
        started_at = await self._ready_at(batch)
        return [
            self._events.batch_started(batch, dataset, started_at),
            self._events.batch_ended(batch, dataset),
        ]

    async def _ready_at(self, batch: BatchManifest) -> datetime:
        """When the stage before was done with the batch; of a crawled one, when its run was asked for."""
        parent = PARENT_STAGE[batch.stage]
        if parent is None:
            return batch.requested_at
        key = keys.manifest_key(batch.run_id, batch.dataset, parent, batch.batch_id)
        found = await self._staging.get(key)
        return batch.produced_at if found is None else decode_event(BatchManifest, found).produced_at
