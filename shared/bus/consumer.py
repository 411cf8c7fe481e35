"""The consumer of a service's group: it reports what aiokafka only logs."""

from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import KafkaError

from shared.bus.access import DENIED


class Denied(Protocol):
    """Called with each refusal of the broker, and with None once a record comes through."""

    def __call__(self, consumer: "GroupConsumer", error: KafkaError | None, /) -> None: ...


class GroupConsumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka ships no types
    def __init__(self, *topics: str, denied: Denied, **options: Any) -> None:
        super().__init__(*topics, **options)
        self._denied = denied

    async def getone(self, *partitions: Any) -> ConsumerRecord:
        try:
            record = await super().getone(*partitions)
        except DENIED as error:
            self._denied(self, error)
            raise
        self._denied(self, None)
        return record
