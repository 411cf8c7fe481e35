"""A rebalance waits for the records in hand, so that no record runs on two members at once."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiokafka import ConsumerRebalanceListener, TopicPartition

from shared.observability.logging import get_logger
from shared.observability.metrics import REBALANCE_SECONDS, REBALANCES
from shared.runtime.busy import begin, end

log = get_logger()


@dataclass(slots=True)
class InFlight:
    """The records in flight, counted by partition."""

    begun_ms: dict[TopicPartition, int] = field(default_factory=dict)
    """The timestamp of the record that was begun last, by partition."""
    _counts: Counter[TopicPartition] = field(default_factory=Counter)
    _settled: asyncio.Event = field(default_factory=asyncio.Event)

    def entered(self, partition: TopicPartition, timestamp_ms: int) -> None:
        self.begun_ms[partition] = timestamp_ms
        self._counts[partition] += 1
        begin()

    def left(self, partition: TopicPartition) -> None:
        self._counts[partition] -= 1
        end()
        self._settled.set()

    def total(self) -> int:
        return self._counts.total()

    async def idle(self, partitions: set[TopicPartition] | None = None) -> None:
        """Returns once no record of these is in hand; None: of any. Waits without end."""
        while self.total() if partitions is None else any(self._counts[each] for each in partitions):
            self._settled.clear()
            await self._settled.wait()


class DrainListener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Delays a rebalance until what is in flight is settled or `drain_s` have passed."""

    def __init__(
        self,
        in_flight: InFlight,
        forget: Callable[[set[TopicPartition]], None],
        drain_s: float,
        assigned: Callable[[set[TopicPartition]], Awaitable[None]] | None,
    ) -> None:
        self._in_flight = in_flight
        self._forget = forget
        self._drain_s = drain_s
        self._assigned = assigned

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        try:
            with REBALANCE_SECONDS.time():
                await asyncio.wait_for(self._in_flight.idle(set(revoked)), self._drain_s)
        except TimeoutError:
            log.warning("drain_timed_out", partitions=[f"{tp.topic}-{tp.partition}" for tp in revoked])
        self._forget(set(revoked))

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        REBALANCES.inc()
        if self._assigned is not None:
            await self._assigned(set(assigned))
