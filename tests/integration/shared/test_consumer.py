"""The consumer of a group on a real broker: records that Kafka removed before they were read are reported."""

from collections.abc import Mapping, Sequence

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from structlog.testing import capture_logs

from shared.bus.messages import Outgoing, Record
from shared.observability.metrics import REGISTRY
from tests.support.bus import Topics, run_drained, running

pytestmark = pytest.mark.integration


async def test_records_that_retention_took_before_they_were_read_are_logged_and_counted(
    topics: Topics,
) -> None:
    handled: list[int] = []

    async def handler(record: Record) -> Sequence[Outgoing]:
        handled.append(record.offset)
        return ()

    await topics.send(*((0, run_drained(f"r{number}"), ()) for number in range(2)))
    with capture_logs() as logs:
        async with running(topics, handler):
            await topics.drained(30)
    assert skipped(logs) == [], "a new group begins with the earliest record"

    await topics.send(*((0, run_drained(f"r{number}"), ()) for number in range(2, 8)))
    await delete_before(topics, TopicPartition(topics.input, 0), 5)
    with capture_logs() as logs:
        async with running(topics, handler):
            await topics.drained(30)
    assert handled == [0, 1, 5, 6, 7]
    assert skipped(logs) == [{"topic": topics.input, "offset": 2, "first_offset": 5, "skipped": 3}]
    assert REGISTRY.get_sample_value("onpoint_offset_resets_total", {"topic": topics.input}) == 1


def skipped(logs: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    named = ("topic", "offset", "first_offset", "skipped")
    return [{name: line[name] for name in named} for line in logs if line["event"] == "records_skipped"]


async def delete_before(topics: Topics, partition: TopicPartition, offset: int) -> None:
    """As retention does, only at once."""
    admin = AIOKafkaAdminClient(bootstrap_servers=topics.servers)
    await admin.start()
    try:
        await admin.delete_records({partition: RecordsToDelete(before_offset=offset)})
    finally:
        await admin.close()
