"""What takes lineage events: an HTTP endpoint, or a topic of the bus."""

import asyncio
from typing import Protocol

import aiohttp
import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError
from pydantic import SecretStr

from services.quality.lineage.events import LineageEvent
from shared.bus.kafka import KafkaClients
from shared.errors import TransientError
from shared.observability.logging import get_logger

TIMEOUT_S = 10.0
MAX_ANSWER_CHARS = 300

_MENDED_BY_PEOPLE = frozenset({401, 403, 404, 405, 407, 408, 425, 429})
"""Of the statuses below 500 those that say nothing about the event: it is sent again."""

log = get_logger()


class Receiver(Protocol):
    async def send(self, event: LineageEvent) -> None:
        """The event is taken, or refused for good (logged), when it returns. Raises `TransientError` while it is not."""
        ...

    async def aclose(self) -> None: ...


class HttpReceiver:
    """POSTs JSON. Redirects are not followed, and no proxy is used."""

    def __init__(self, url: str, api_key: SecretStr | None) -> None:
        self._url = url
        headers = {"Content-Type": "application/json"}
        if api_key is not None:
            headers["Authorization"] = f"Bearer {api_key.get_secret_value()}"
        self._session = aiohttp.ClientSession(
            headers=headers, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), trust_env=False
        )

    async def send(self, event: LineageEvent) -> None:
        try:
            async with self._session.post(
                self._url, data=orjson.dumps(event), allow_redirects=False
            ) as answer:
                status = answer.status
                if status < 300:  # noqa: PLR2004 - the classes of HTTP
                    return
                body = (await answer.content.read(MAX_ANSWER_CHARS)).decode("utf-8", "replace")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TransientError(f"the receiver of lineage does not answer: {error!r}"[:500]) from error
        if status < 400 or status >= 500 or status in _MENDED_BY_PEOPLE:  # noqa: PLR2004 - as above
            raise TransientError(f"the receiver of lineage answers {status}: {body!r}")
        log.error("lineage_event_refused", status=status, answer=body, lineage_run=event["run"]["runId"])

    async def aclose(self) -> None:
        await self._session.close()


class TopicReceiver:
    """Publishes to a topic; its key is the run of OpenLineage, so that the events of one stay in order."""

    def __init__(self, kafka: KafkaClients, topic: str) -> None:
        self._kafka = kafka
        self._topic = topic
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def send(self, event: LineageEvent) -> None:
        """Raises `KafkaError` in an outage."""
        async with self._starting:
            if self._producer is None:
                producer = self._kafka.producer(acks="all", enable_idempotence=True, compression_type="lz4")
                await self._kafka.start(producer)
                self._producer = producer
        run = str(event["run"]["runId"])
        try:
            await self._producer.send_and_wait(self._topic, orjson.dumps(event), key=run.encode())
        except MessageSizeTooLargeError as error:
            log.error("lineage_event_refused", answer=str(error)[:MAX_ANSWER_CHARS], lineage_run=run)  # noqa: TRY400 - its words are enough

    async def aclose(self) -> None:
        if self._producer is not None:
            await self._producer.stop()
