"""How far the services' consumer groups are behind."""

import asyncio
import contextlib

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from shared.events.topology import SERVICES

GROUPS = tuple(f"onpoint-{name}" for name in SERVICES)


class LagReader:
    """Committed offsets of every group, and the ends of what they read."""

    def __init__(self, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer, known: dict[str, int]) -> None:
        self._admin = admin
        self._consumer = consumer
        self._known = known

    @classmethod
    async def open(cls, servers: str, known: dict[str, int]) -> "LagReader":
        admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=2000)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=servers, enable_auto_commit=False, request_timeout_ms=2000
        )
        reader = cls(admin, consumer, known)
        try:
            await admin.start()
            await consumer.start()
        except BaseException:
            await reader.close()
            raise
        return reader

    async def read(self) -> tuple[dict[TopicPartition, int], dict[str, dict[TopicPartition, int]]]:
        committed = {
            group: {
                partition: meta.offset
                for partition, meta in (await self._admin.list_consumer_group_offsets(group)).items()
            }
            for group in GROUPS
        }
        for group, offsets in committed.items():
            # A coordinator that has just started answers as if there were none.
            if len(offsets) < self._known.get(group, 0):
                raise ValueError(f"{group}: offsets are not loaded yet")
        # The ends after the offsets: a group is never ahead of what is read here.
        partitions = {partition for offsets in committed.values() for partition in offsets}
        ends = await self._consumer.end_offsets(list(partitions)) if partitions else {}
        return ends, committed

    async def close(self) -> None:
        for client in (self._admin.close, self._consumer.stop):
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(3):
                    await client()
