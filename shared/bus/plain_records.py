"""A group's consumer whose records stay as aiokafka's C code reads them.

aiokafka makes an object of its own of each, which takes twice the time of reading it. A plain record has `offset`,
`timestamp`, `key`, `value` and `headers`, and not its topic and partition: `getmany` tells them.
"""

from collections import OrderedDict
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import FetchResult

from shared.bus.consumer import GroupConsumer


class PlainConsumer(GroupConsumer):
    """For `getmany`. It holds on to inner names of aiokafka, whose version is fixed."""

    async def start(self) -> None:
        await super().start()
        found = _Fetched()
        for partition, result in self._fetcher._records.items():  # noqa: SLF001 - there is no other way in
            found[partition] = result
        self._fetcher._records = found  # noqa: SLF001


class _Fetched(OrderedDict[TopicPartition, Any]):
    """Answers of brokers that wait to be taken."""

    def __setitem__(self, partition: TopicPartition, result: Any) -> None:
        if isinstance(result, FetchResult):
            result._partition_records._consumer_record = _as_it_is  # noqa: SLF001
        super().__setitem__(partition, result)


def _as_it_is(_: TopicPartition, record: Any) -> Any:
    return record
