"""Transactional producers on a real broker: one that failed for good is replaced, and nothing of its record is lost."""

from collections.abc import AsyncIterator

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import InvalidProducerIdMapping

from shared.bus.messages import Outgoing, Record
from shared.bus.transactions import TransactionalProducers
from shared.errors import TransientError
from shared.events.decode import decode_event
from shared.events.models import RunDrained
from tests.support.bus import Topics, plain_kafka, run_drained

pytestmark = pytest.mark.integration


@pytest.fixture
async def producers(topics: Topics) -> AsyncIterator[TransactionalProducers]:
    made = TransactionalProducers(plain_kafka(topics.servers), topics.service, topics.service)
    await made.open({TopicPartition(topics.input, 0)})
    yield made
    await made.stop()


async def test_after_a_fatal_error_the_record_comes_again_and_a_new_producer_publishes_its_event(
    topics: Topics, producers: TransactionalProducers
) -> None:
    partition = TopicPartition(topics.input, 0)
    record = Record(topics.input, 0, 5, 1, b"r", run_drained("r"))
    event = decode_event(RunDrained, run_drained("r"))
    ended = producers._producers[partition]  # noqa: SLF001 - what Kafka does after days of silence
    await ended.begin_transaction()
    ended._txn_manager.fatal_error(InvalidProducerIdMapping())  # noqa: SLF001 - as above

    with pytest.raises(TransientError, match="was replaced"):
        await producers.publish_with_offset(record, [Outgoing(topics.output, "r", event)])
    await producers.publish_with_offset(record, [Outgoing(topics.output, "r", event)])

    published = await topics.read(topics.output, isolation="read_committed")
    assert [each.key for each in published] == [b"r"]
