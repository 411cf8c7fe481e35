"""Figures of Kafka that no service can tell of itself: of one that does not answer, and of the brokers."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.quality.adapters.kafka_state import KafkaObserver, KafkaState
from services.quality.domain.stalls import Position, Stalls
from shared.errors import ConfigurationError
from shared.observability.logging import get_logger
from shared.observability.metrics import (
    CERTIFICATE_EXPIRY,
    GROUP_COMMITTED_OFFSETS,
    GROUP_LAG_RECORDS,
    GROUP_STALLED_SECONDS,
    KAFKA_END_OFFSETS,
    KAFKA_LEADERLESS,
    KAFKA_MEASURED,
    KAFKA_UNDER_REPLICATED,
)

log = get_logger()


class KafkaWatch:
    """Every replica asks for itself, so the figures outlive any one of them."""

    def __init__(self, observer: KafkaObserver, interval_s: float) -> None:
        self._observer = observer
        self._interval_s = interval_s
        self._stalls: Stalls[tuple[str, TopicPartition]] = Stalls()
        self._is_told = False

    async def watch_forever(self) -> None:
        """An outage, or a permission that is missing, keeps the last figures and is logged once."""
        try:
            while True:
                await self._look()
                await asyncio.sleep(self._interval_s)
        finally:
            await self._observer.close()

    async def _look(self) -> None:
        try:
            state = await self._observer.look()
        except (KafkaError, ConfigurationError, OSError, TimeoutError) as error:
            if not self._is_told:
                log.warning("kafka_not_seen", error=repr(error))
            self._is_told = True
            await self._observer.close()
        else:
            self._is_told = False
            self.show(state, time.time())

    def show(self, state: KafkaState, now: float) -> None:
        """Sets the metrics. `now` is a Unix time."""
        KAFKA_UNDER_REPLICATED.set(state.under_replicated)
        KAFKA_LEADERLESS.set(state.leaderless)
        for topic, end in _by_topic(state.ends.items()).items():
            KAFKA_END_OFFSETS.labels(topic).set(end)
        for group, positions in state.groups.items():
            _show_group(group, positions)
        positions_of_all = {
            (group, partition): position
            for group, positions in state.groups.items()
            for partition, position in positions.items()
        }
        longest: dict[tuple[str, str], float] = defaultdict(float)
        for (group, partition), seconds in self._stalls.seconds(positions_of_all, now).items():
            key = (group, partition.topic)
            longest[key] = max(longest[key], seconds)
        for (group, topic), seconds in longest.items():
            GROUP_STALLED_SECONDS.labels(group, topic).set(seconds)
        for server, until in state.certificates.items():
            CERTIFICATE_EXPIRY.labels(server).set(until)
        KAFKA_MEASURED.set(now)


def _show_group(group: str, positions: Mapping[TopicPartition, Position]) -> None:
    committed = _by_topic((partition, position.committed) for partition, position in positions.items())
    behind = _by_topic(
        (partition, max(0, position.end - position.committed)) for partition, position in positions.items()
    )
    for topic, offset in committed.items():
        GROUP_COMMITTED_OFFSETS.labels(group, topic).set(offset)
        GROUP_LAG_RECORDS.labels(group, topic).set(behind[topic])


def _by_topic(values: Iterable[tuple[TopicPartition, int]]) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for partition, value in values:
        found[partition.topic] += value
    return dict(found)
