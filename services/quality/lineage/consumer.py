"""Reads what the services publish in a group of its own, and hands lineage events over, at least once and in order.

Nothing waits for it: it may be behind, or away for as long as the topics keep their records.
"""

from collections.abc import Callable, Coroutine, Mapping
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
from shared.events.topology import RESULT_OF_STAGE
from shared.observability.logging import get_logger
from shared.runtime.background import Outage

GROUP: Final = topics.consumer_group("lineage")
TOPICS: Final = (topics.CRAWL_PLANNED, *RESULT_OF_STAGE.values(), topics.BATCH_FAILED, topics.RUN_COMPLETED)

log = get_logger()

Translate = Callable[[bytes], Coroutine[Any, Any, LineageEvent | None]]


class LineageConsumer:
    def __init__(
        self,
        kafka: KafkaClients,
        events: LineageEvents,
        datasets: RunDatasets,
        receiver: Receiver,
        *,
        session_timeout_ms: int = 10_000,
    ) -> None:
        self._kafka = kafka
        self._events = events
        self._datasets = datasets
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
                event = await self._event_of(record)
                if event is not None:
                    await self._receiver.send(event)
            except TransientError as error:
                self.problem = str(error)
                await outage.wait(error)
            else:
                break
        self.problem = None
        outage.end()
        await consumer.commit({TopicPartition(raw.topic, raw.partition): raw.offset + 1})

    async def _event_of(self, record: Record) -> LineageEvent | None:
        """None for a record that tells nothing of a batch or run; the service that reads it has its dead letter."""
        try:
            return await self._translate.get(record.topic, self._batch)(record.value or b"")
        except PermanentError as error:
            log.warning(
                "lineage_record_skipped", topic=record.topic, offset=record.offset, detail=str(error)[:300]
            )
            return None

    async def _started(self, value: bytes) -> LineageEvent | None:
        return self._events.run_started(decode_event(CrawlPlanned, value))

    async def _ended(self, value: bytes) -> LineageEvent:
        completed = decode_event(RunCompleted, value)
        datasets = await self._datasets.find_all(completed.run_id, completed.datasets)
        return self._events.run_ended(completed, datasets)

    async def _batch(self, value: bytes) -> LineageEvent:
        batch = decode_event(BatchManifest, value)
        found = await self._datasets.find_all(batch.run_id, [batch.dataset])
        return self._events.batch_ended(batch, found.get(batch.dataset))
