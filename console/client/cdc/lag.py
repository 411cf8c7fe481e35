"""How old the oldest change is that Kafka has and the lake has not."""

import time
from collections.abc import Mapping

from aiokafka import TopicPartition

from shared.bus.kafka import KafkaClients

WAIT_S = 3.0
"""Records that are not there by then are marks of transactions, which no consumer sees."""


async def seconds_behind(kafka: KafkaClients, read: Mapping[str, int]) -> dict[str, float]:
    """Seconds by topic; 0: the lake has all of it. `read` is the offset of each topic below which it has. A topic that is
    not in Kafka is left out. Raises `KafkaError`.
    """
    consumer = kafka.consumer(enable_auto_commit=False, isolation_level="read_committed")
    await kafka.start(consumer)
    try:
        there = await consumer.topics()
        places = {TopicPartition(topic, 0): offset for topic, offset in read.items() if topic in there}
        ends = await consumer.end_offsets(list(places))
        missing = {place: offset for place, offset in places.items() if offset < ends[place]}
        found = dict.fromkeys((place.topic for place in places), 0.0)
        consumer.assign(list(missing))
        for place, offset in missing.items():
            consumer.seek(place, offset)
        deadline = time.monotonic() + WAIT_S
        while missing and (left_s := deadline - time.monotonic()) > 0:
            fetched = await consumer.getmany(*missing, timeout_ms=int(left_s * 1000), max_records=1)
            for place, records in fetched.items():
                del missing[place]
                found[place.topic] = max(0.0, time.time() - records[0].timestamp / 1000)
        return found
    finally:
        await consumer.stop()
