import asyncio
from collections import Counter
from dataclasses import dataclass, field

from aiokafka import TopicPartition

from shared.runtime.busy import begin, end


@dataclass(slots=True)
class InFlight:
    """The records in hand, counted by partition."""

    _counts: Counter[TopicPartition] = field(default_factory=Counter)
    _settled: asyncio.Event = field(default_factory=asyncio.Event)

    def entered(self, partition: TopicPartition) -> None:
        self._counts[partition] += 1
        begin()

    def left(self, partition: TopicPartition) -> None:
        self._counts[partition] -= 1
        end()
        self._settled.set()

    def total(self) -> int:
        return self._counts.total()

    async def idle(self, partitions: set[TopicPartition]) -> None:
        """Returns once no record of these is in hand. Waits without end."""
        while any(self._counts[partition] for partition in partitions):
            self._settled.clear()
            await self._settled.wait()
