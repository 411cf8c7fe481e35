"""Fetched records stay as aiokafka's C code reads them."""

from types import SimpleNamespace

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from shared.bus.plain_records import _Fetched

PARTITION = TopicPartition("cdc.public.pets", 0)


def fetched() -> FetchResult:
    """The answer of a broker with two records, the second without a key and a value."""
    batch = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1024,
    )
    batch.append(0, 1_700_000_000_000, b"key", b"value", [("h", b"1")])
    batch.append(1, 1_700_000_000_001, None, None, [])
    records = PartitionRecords(PARTITION, MemoryRecords(bytes(batch.build())), [], 0, None, None, True, 1)
    position = SimpleNamespace(paused=False, position=0, consumed_to=lambda _: None)
    assignment = SimpleNamespace(active=True, state_value=lambda _: position)
    return FetchResult(PARTITION, assignment=assignment, partition_records=records, backoff=0)


def test_a_record_is_not_made_anew_and_has_what_a_dead_letter_needs() -> None:
    waiting = _Fetched()
    waiting[PARTITION] = fetched()
    first, second = waiting[PARTITION].getall()
    assert not isinstance(first, ConsumerRecord)
    assert (first.offset, first.timestamp, first.key, first.value) == (0, 1_700_000_000_000, b"key", b"value")
    assert list(first.headers) == [("h", b"1")]
    assert (second.offset, second.key, second.value) == (1, None, None)
