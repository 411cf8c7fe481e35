"""The consumer of a service's group: it reports what aiokafka only logs."""

import asyncio
import contextlib
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from shared.bus.access import DENIED
from shared.observability.logging import get_logger
from shared.observability.metrics import OFFSET_RESETS

METADATA_MAX_AGE_MS = 5_000
"""A partition that is added, or that the group's leader did not see when it assigned them, is read that much later."""

LEAVE_S = 4.0
"""A member that stops during a rebalance would wait for the records in hand of every other member."""

log = get_logger()


class Denied(Protocol):
    """Called with each refusal of the broker, and with None once a record comes through."""

    def __call__(self, consumer: "GroupConsumer", error: KafkaError | None, /) -> None: ...


class GroupConsumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka ships no types
    """Begins with the earliest record, and logs where that skips records that its group has not read."""

    def __init__(self, *topics: str, denied: Denied, **options: Any) -> None:
        """`auto_offset_reset` is overruled: aiokafka itself would reset in silence."""
        super().__init__(
            *topics,
            **{**options, "auto_offset_reset": "none", "metadata_max_age_ms": METADATA_MAX_AGE_MS},
        )
        self._denied = denied
        self._beginning: set[asyncio.Task[bool]] = set()

    async def getone(self, *partitions: Any) -> ConsumerRecord:
        while True:
            try:
                record = await super().getone(*partitions)
            except NoOffsetForPartitionError as error:
                self._begin_soon(error.args[0])
            except OffsetOutOfRangeError as error:
                for partition, offset in error.args[0].items():
                    await self._reset(partition, offset)
            except DENIED as error:
                self._denied(self, error)
                if isinstance(error, GroupAuthorizationFailedError) and self._coordinator is not None:
                    # aiokafka's heartbeat has ended with the refusal, and it would repeat that for ever.
                    self._coordinator.request_rejoin()
                raise
            else:
                self._denied(self, None)
                return record

    async def stop(self) -> None:
        """Leaves the group. After `LEAVE_S` it closes without: the group notices by the session timeout."""
        for task in self._beginning:
            task.cancel()
        try:
            async with asyncio.timeout(LEAVE_S):
                await super().stop()
        except TimeoutError:
            log.warning("group_not_left")
            if self._fetcher is not None:
                await self._fetcher.close()
            await self._client.close()

    async def _reset(self, partition: TopicPartition, offset: int) -> None:
        """The record at the offset is gone: it is older than the topic's retention, or the topic was made anew."""
        if not await self._begin(partition):
            return
        first: int = (await self.beginning_offsets([partition]))[partition]
        OFFSET_RESETS.labels(partition.topic).inc()
        log.error(
            "records_skipped",
            topic=partition.topic,
            partition=partition.partition,
            offset=offset,
            first_offset=first,
            skipped=max(0, first - offset),
            why="Kafka removed them before this service read them: their runs do not end by themselves",
        )

    def _begin_soon(self, partition: TopicPartition) -> None:
        """Does not wait for the position: the broker answers behind the fetch that waits for records.

        A group that never committed has no offset in any of its partitions: one after the other they took seconds.
        """
        task = asyncio.create_task(self._begin(partition))
        self._beginning.add(task)
        task.add_done_callback(self._began)

    def _began(self, task: asyncio.Task[bool]) -> None:
        self._beginning.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The next `getone` meets it too, or the partition's missing offset once more.
            log.debug("position_not_set", error=repr(error))

    async def _begin(self, partition: TopicPartition) -> bool:
        """False where the partition was revoked meanwhile."""
        with contextlib.suppress(IllegalStateError):
            return bool(await self.seek_to_beginning(partition))
        return False
