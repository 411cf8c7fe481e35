"""How far a consumer group is behind, in records and in seconds, in the partitions that this process has.

A probe, which joins no group, reads the group's committed offsets and the ends of the partitions. Where there is something
between them it fetches one record, the oldest that is not committed, and looks at its timestamp only.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from shared.bus.kafka import KafkaClients
from shared.errors import OnPointError
from shared.observability.logging import get_logger
from shared.observability.metrics import CONSUMER_LAG_MEASURED, CONSUMER_LAG_RECORDS, CONSUMER_LAG_SECONDS

EVERY_S = 5.0
FETCH_S = 3.0
"""For the records of all partitions together. A partition whose record does not come keeps its last figure."""

FETCH_BYTES = 64 * 1024
"""Of one partition. The broker sends at least one whole batch of records."""

TIMEOUT_S = 30.0

log = get_logger()


@dataclass(frozen=True, slots=True)
class Lag:
    """Of one partition."""

    offset: int
    """Of the oldest record that is not committed."""
    records: int
    oldest_ms: int | None
    """The timestamp of that record; None: there is none."""

    def seconds(self, now_ms: float, begun_ms: int = 0) -> float:
        """Of the oldest record, or of one that was begun after it: what comes before that is committed."""
        return 0.0 if self.oldest_ms is None else max(0.0, now_ms - max(self.oldest_ms, begun_ms)) / 1000


class _Probe(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka ships no types
    """Of a group, and no member of it."""

    async def committed_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """One request. Partitions in which the group has committed nothing are left out."""
        found = await self._coordinator.fetch_committed_offsets(list(partitions))
        return {partition: each.offset for partition, each in found.items() if each.offset >= 0}


class LagMeter:
    """Measures every few seconds, for `/metrics`. Its connection is opened with the first partition."""

    def __init__(
        self,
        kafka: KafkaClients,
        group: str,
        assigned: Callable[[], Iterable[TopicPartition]],
        begun_ms: Mapping[TopicPartition, int] | None = None,
    ) -> None:
        """`assigned`: the partitions of this process at the moment.

        `begun_ms`: the timestamp of the record of each that came to its handler last. It makes the figure exact between two
        measurements.
        """
        self._begun_ms = {} if begun_ms is None else begun_ms  # live: it is empty at first
        self._kafka = kafka
        self._group = group
        self._assigned = assigned
        self._probe: _Probe | None = None
        self._lags: dict[TopicPartition, Lag] = {}

    async def run(self) -> None:
        """Never returns. What cannot be measured keeps its last figure."""
        try:
            while True:
                try:
                    async with asyncio.timeout(TIMEOUT_S):
                        await self.measure()
                except (KafkaError, OSError, TimeoutError, OnPointError) as error:
                    log.debug("lag_unknown", why=repr(error))  # of an outage the bus tells
                    await self.aclose()
                except Exception:
                    log.warning("lag_unknown", exc_info=True)
                    await self.aclose()
                await asyncio.sleep(EVERY_S)
        finally:
            await self.aclose()

    async def measure(self) -> Mapping[TopicPartition, Lag]:
        """The lag of each partition, as it is shown from now on.

        Costs two requests, and a fetch of some kilobytes for each partition whose oldest uncommitted record is another one
        than before. Raises as the Kafka client.
        """
        partitions = set(self._assigned())
        lags = await self._measure(partitions) if partitions else {}
        for gone in self._lags.keys() - lags.keys():
            _hide(gone)
        self._lags = lags
        for partition in lags:
            self._show(partition)
        CONSUMER_LAG_MEASURED.set_to_current_time()
        return lags

    async def _measure(self, partitions: set[TopicPartition]) -> dict[TopicPartition, Lag]:
        probe = await self._open()
        committed = await probe.committed_offsets(partitions)
        # The ends after the offsets: a group is never ahead of what is read here.
        ends = await probe.end_offsets(list(partitions))
        unread = [each for each in partitions if committed.get(each, 0) < ends[each]]
        first = await probe.beginning_offsets(unread) if unread else {}
        lags = {each: Lag(ends[each], 0, None) for each in partitions}
        wanted: dict[TopicPartition, int] = {}
        for each in unread:
            offset = max(committed.get(each, 0), first[each])
            before = self._lags.get(each)
            if before is not None and before.offset == offset and before.oldest_ms is not None:
                lags[each] = Lag(offset, ends[each] - offset, before.oldest_ms)
            elif offset < ends[each]:
                wanted[each] = offset
        found = await _oldest(probe, wanted, ends)
        for each, offset in wanted.items():
            if each in found:
                lags[each] = Lag(found[each][0], ends[each] - offset, found[each][1])
            else:
                lags[each] = await self._without_record(probe, each, offset, ends[each])
        return lags

    async def _without_record(self, probe: _Probe, each: TopicPartition, offset: int, end: int) -> Lag:
        """Only markers of transactions are left, or the record did not come in time."""
        if await probe.position(each) >= end:
            return Lag(offset, 0, None)
        before = self._lags.get(each)
        return Lag(offset, end - offset, before.oldest_ms if before else None)

    def _show(self, partition: TopicPartition) -> None:
        names = partition.topic, partition.partition
        CONSUMER_LAG_RECORDS.labels(*names).set(self._lags[partition].records)
        CONSUMER_LAG_SECONDS.labels(*names).set_function(partial(self._seconds, partition))

    def _seconds(self, partition: TopicPartition) -> float:
        """At the moment of the scrape, which may be seconds after the measurement."""
        lag = self._lags.get(partition)
        return 0.0 if lag is None else lag.seconds(time.time() * 1000, self._begun_ms.get(partition, 0))

    async def _open(self) -> _Probe:
        if self._probe is None:
            probe = self._kafka.consumer_of(
                _Probe,
                group_id=self._group,
                enable_auto_commit=False,
                auto_offset_reset="none",
                fetch_max_bytes=16 * FETCH_BYTES,
                max_partition_fetch_bytes=FETCH_BYTES,
            )
            self._probe = probe
            await self._kafka.start(probe)
        return self._probe

    async def aclose(self) -> None:
        probe, self._probe = self._probe, None
        if probe is not None:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(TIMEOUT_S):
                    await probe.stop()


async def _oldest(
    probe: _Probe, wanted: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, tuple[int, int]]:
    """Offset and timestamp of the first record from each offset on; nothing of partitions whose record does not come."""
    found: dict[TopicPartition, tuple[int, int]] = {}
    if not wanted:
        return found
    probe.assign(list(wanted))
    for partition, offset in wanted.items():
        probe.seek(partition, offset)
    until = time.monotonic() + FETCH_S
    missing = dict(wanted)
    while missing and time.monotonic() < until:
        for partition, records in (await probe.getmany(*missing, timeout_ms=200, max_records=1)).items():
            found[partition] = records[0].offset, records[0].timestamp
            del missing[partition]
            probe.pause(partition)
        missing = {
            each: offset for each, offset in missing.items() if await probe.position(each) < ends[each]
        }
    return found


def _hide(partition: TopicPartition) -> None:
    for gauge in (CONSUMER_LAG_RECORDS, CONSUMER_LAG_SECONDS):
        gauge.remove(partition.topic, str(partition.partition))
