"""What quality sees of Kafka, on a real broker."""

import uuid

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from services.quality.adapters.kafka_state import KafkaObserver
from services.quality.domain.stalls import Position
from services.quality.workers.kafka_watch import KafkaWatch
from shared.bus.kafka import KafkaClients
from shared.observability.metrics import (
    GROUP_LAG_RECORDS,
    GROUP_STALLED_SECONDS,
    KAFKA_END_OFFSETS,
    KAFKA_LEADERLESS,
    KAFKA_UNDER_REPLICATED,
)
from shared.settings.kafka import KafkaSettings

pytestmark = pytest.mark.integration


async def test_a_group_that_commits_nothing_is_seen_from_outside(kafka_servers: str) -> None:
    topic, group = f"watched.{uuid.uuid4().hex}", f"group-{uuid.uuid4().hex}"
    await create(kafka_servers, topic)
    observer = KafkaObserver(
        KafkaClients(KafkaSettings(kafka_bootstrap_servers=kafka_servers), "test"), [group], [topic]
    )
    watch = KafkaWatch(observer, 1)
    try:
        await send(kafka_servers, topic, 3)
        await commit(kafka_servers, topic, group, 1)
        watch.show(await observer.look(), 1000)
        await send(kafka_servers, topic, 4)
        watch.show(await observer.look(), 1015)
        watch.show(await observer.look(), 1090)
        assert GROUP_LAG_RECORDS.labels(group, topic)._value.get() == 6  # noqa: SLF001
        assert GROUP_STALLED_SECONDS.labels(group, topic)._value.get() == 75  # noqa: SLF001
        assert KAFKA_END_OFFSETS.labels(topic)._value.get() == 7  # noqa: SLF001

        await commit(kafka_servers, topic, group, 7)
        watch.show(await observer.look(), 1100)
        assert GROUP_LAG_RECORDS.labels(group, topic)._value.get() == 0  # noqa: SLF001
        assert GROUP_STALLED_SECONDS.labels(group, topic)._value.get() == 0  # noqa: SLF001
        assert KAFKA_UNDER_REPLICATED._value.get() == KAFKA_LEADERLESS._value.get() == 0  # noqa: SLF001
    finally:
        await observer.close()


async def test_a_partition_of_which_a_group_has_committed_nothing_is_behind_from_its_begin(
    kafka_servers: str,
) -> None:
    topic, group = f"watched.{uuid.uuid4().hex}", f"group-{uuid.uuid4().hex}"
    await create(kafka_servers, topic, partitions=2)
    observer = KafkaObserver(
        KafkaClients(KafkaSettings(kafka_bootstrap_servers=kafka_servers), "test"), [group], [topic]
    )
    try:
        await send(kafka_servers, topic, 3)
        await send(kafka_servers, topic, 4, partition=1)
        await commit(kafka_servers, topic, group, 3)
        state = await observer.look()
    finally:
        await observer.close()
    assert state.groups == {
        group: {TopicPartition(topic, 0): Position(3, 3), TopicPartition(topic, 1): Position(0, 4)}
    }


async def test_a_group_that_never_committed_is_not_behind(kafka_servers: str) -> None:
    topic, group = f"watched.{uuid.uuid4().hex}", f"group-{uuid.uuid4().hex}"
    await create(kafka_servers, topic)
    observer = KafkaObserver(
        KafkaClients(KafkaSettings(kafka_bootstrap_servers=kafka_servers), "test"), [group], [topic]
    )
    try:
        state = await observer.look()
    finally:
        await observer.close()
    assert state.groups == {group: {}}
    assert state.certificates == {}


async def create(servers: str, topic: str, partitions: int = 1) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, partitions, 1)])
    finally:
        await admin.close()


async def send(servers: str, topic: str, count: int, partition: int = 0) -> None:
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        for _ in range(count):
            await producer.send_and_wait(topic, b"record", partition=partition)


async def commit(servers: str, topic: str, group: str, offset: int) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, group_id=group, enable_auto_commit=False)
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    await consumer.start()
    try:
        await consumer.commit({partition: offset})
    finally:
        await consumer.stop()
