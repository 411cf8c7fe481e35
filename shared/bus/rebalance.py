import asyncio
from collections.abc import Awaitable, Callable

from aiokafka import ConsumerRebalanceListener, TopicPartition

from shared.bus.policy import AtLeastOnce
from shared.observability.logging import get_logger

log = get_logger()


class DrainListener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Holds a rebalance until what is in flight is settled, so that no record runs on two members at once."""

    def __init__(
        self,
        policy: AtLeastOnce,
        drain_s: float,
        assigned: Callable[[set[TopicPartition]], Awaitable[None]] | None,
    ) -> None:
        self._policy = policy
        self._drain_s = drain_s
        self._assigned = assigned

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        try:
            await asyncio.wait_for(self._policy.in_flight.idle(set(revoked)), self._drain_s)
        except TimeoutError:
            log.warning("drain_gave_up", partitions=[f"{tp.topic}-{tp.partition}" for tp in revoked])
        self._policy.forget(set(revoked))

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        if self._assigned is not None:
            await self._assigned(set(assigned))
