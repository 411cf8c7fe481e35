"""FastStream's broker as the bus uses it: consumers of the bus's own factory, records that are not decoded."""

from collections.abc import Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage
from faststream.message import StreamMessage

from shared.bus.kafka import to_record
from shared.bus.messages import Record


class ConsumingBroker(KafkaBroker):
    """Consumes only. Its consumers are built by `build`, which decides about TLS and the login."""

    def __init__(
        self,
        servers: Sequence[str],
        build: Callable[..., AIOKafkaConsumer],
        *,
        client_id: str,
        graceful_timeout: float,
        middlewares: Sequence[Any],
    ) -> None:
        super().__init__(
            servers,
            client_id=client_id,
            consumer_only=True,
            graceful_timeout=graceful_timeout,
            allow_auto_create_topics=False,
            apply_types=False,
            middlewares=middlewares,
            parser=_parse,
            decoder=_decode,
            logger=None,
        )
        self._build = build

    async def _connect(self) -> Callable[..., AIOKafkaConsumer]:
        await super()._connect()
        self.config.broker_config.builder = self._build
        return self._build


async def _parse(raw: ConsumerRecord) -> KafkaMessage:
    """Headers stay undecoded: FastStream's own parser raises on those that are not text."""
    return KafkaMessage(
        body=raw.value or b"", raw_message=raw, headers={}, consumer=getattr(raw, "consumer", FAKE_CONSUMER)
    )


async def _decode(message: StreamMessage[ConsumerRecord]) -> Record:
    return to_record(message.raw_message)
