"""Asks the brokers where topics end, where groups are, and which copies are in sync."""

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from services.quality.domain.stalls import Position
from shared.bus.kafka import KafkaClients

REQUEST_TIMEOUT_MS = 10_000


@dataclass(frozen=True, slots=True)
class KafkaState:
    under_replicated: int
    leaderless: int
    ends: Mapping[TopicPartition, int]
    groups: Mapping[str, Mapping[TopicPartition, Position]]
    certificates: Mapping[str, float] = field(default_factory=dict)
    """By server, when the certificate that it shows ends, as a Unix time."""


class KafkaObserver:
    """Two connections that are opened at the first question. Raises what the driver raises."""

    def __init__(self, kafka: KafkaClients, groups: Iterable[str], topics: Iterable[str]) -> None:
        self._kafka = kafka
        self._groups = tuple(groups)
        self._topics = tuple(topics)
        self._clients: tuple[AIOKafkaAdminClient, AIOKafkaConsumer] | None = None

    async def look(self) -> KafkaState:
        """Half a dozen small requests."""
        admin, consumer = await self._connected()
        described = await admin.describe_topics(list(self._topics))
        partitions = [
            (TopicPartition(topic["topic"], partition["partition"]), partition)
            for topic in described
            for partition in topic["partitions"]
        ]
        committed = {group: await admin.list_consumer_group_offsets(group) for group in self._groups}
        # The ends after the offsets: a group is never ahead of what is read here.
        led = [key for key, partition in partitions if partition["leader"] >= 0]
        ends = await consumer.end_offsets(led) if led else {}
        return KafkaState(
            under_replicated=sum(len(each["isr"]) < len(each["replicas"]) for _, each in partitions),
            leaderless=len(partitions) - len(led),
            ends=ends,
            groups={
                group: await _positions({key: meta.offset for key, meta in offsets.items()}, ends, consumer)
                for group, offsets in committed.items()
            },
            certificates=await certificate_ends(self._kafka),
        )

    async def close(self) -> None:
        """The next question opens new connections."""
        clients, self._clients = self._clients, None
        if clients is not None:
            admin, consumer = clients
            await asyncio.gather(admin.close(), consumer.stop(), return_exceptions=True)

    async def _connected(self) -> tuple[AIOKafkaAdminClient, AIOKafkaConsumer]:
        if self._clients is None:
            admin = self._kafka.admin(request_timeout_ms=REQUEST_TIMEOUT_MS)
            consumer = self._kafka.consumer(enable_auto_commit=False, request_timeout_ms=REQUEST_TIMEOUT_MS)
            self._clients = (admin, consumer)
            await self._kafka.start(admin)
            await self._kafka.start(consumer)
        return self._clients


async def _positions(
    committed: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int], consumer: AIOKafkaConsumer
) -> dict[TopicPartition, Position]:
    """In every partition of the topics of which the group has committed anything.

    Where it has committed nothing of a partition it is at the begin.
    """
    topics = {key.topic for key in committed}
    its_own = [key for key in ends if key.topic in topics]
    untouched = [key for key in its_own if committed.get(key, -1) < 0]
    begins = await consumer.beginning_offsets(untouched) if untouched else {}
    return {key: Position(begins[key] if key in begins else committed[key], ends[key]) for key in its_own}


async def certificate_ends(kafka: KafkaClients) -> dict[str, float]:
    """When the certificate of each server ends, as a Unix time; empty without TLS.

    Raises `OSError`, `ssl.SSLError` among them for a certificate that is not trusted, or has ended.
    """
    if kafka.tls is None:
        return {}
    found = {}
    for server in kafka.servers.split(","):
        host, _, port = server.strip().rpartition(":")
        async with asyncio.timeout(REQUEST_TIMEOUT_MS / 1000):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=kafka.tls)
        shown = writer.get_extra_info("peercert") or {}
        writer.close()
        if "notAfter" in shown:
            found[server.strip()] = float(ssl.cert_time_to_seconds(shown["notAfter"]))
    return found
