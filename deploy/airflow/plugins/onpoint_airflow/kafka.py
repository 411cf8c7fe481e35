"""Kafka through an Airflow connection: where a topic ends, one record out, records in. Every call is bounded."""

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from airflow.providers.apache.kafka.hooks.base import KafkaBaseHook
from airflow.sdk.exceptions import AirflowException
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

CONNECTION_ID = "onpoint_kafka"
TIMEOUT_S = 30
"""Of one exchange with the broker: above a broker's restart, below a person's patience."""
READ_AT_ONCE = 500
CONSUMER_ONLY = ("group.id", "enable.auto.commit", "auto.offset.reset", "isolation.level")
PRODUCER_ONLY = ("message.timeout.ms",)
"""One connection serves both; a client warns of settings that are not its own."""

Positions = Mapping[str, int]
"""Offset per partition; text keys, as XCom and the triggerer's database keep them."""


class _SettingsHook(KafkaBaseHook):
    """The provider's resolving of a connection (callbacks, cloud tokens) without one of its clients."""

    def _get_client(self, config: dict[str, Any]) -> dict[str, Any]:
        return config


def settings_of(connection_id: str) -> dict[str, Any]:
    settings: dict[str, Any] = _SettingsHook(connection_id).get_conn
    return settings


def end_of(settings: Mapping[str, Any], topic: str) -> dict[str, int]:
    """Where the next record of each partition will be. Raises `AirflowException` if no broker answers in time."""
    consumer = _consumer(settings)
    try:
        return {str(number): _end_of(consumer, topic, number) for number in _partitions(consumer, topic)}
    except KafkaException as error:
        raise AirflowException(f"the end of {topic} is not known: {error}") from error
    finally:
        consumer.close()


def publish(settings: Mapping[str, Any], topic: str, key: str, value: bytes) -> None:
    """Return once all in-sync replicas have the record. Raises `AirflowException` if they do not in time."""
    own = {name: value for name, value in settings.items() if name not in CONSUMER_ONLY}
    own = {"message.timeout.ms": TIMEOUT_S * 1000} | own | {"acks": "all", "enable.idempotence": True}
    producer = Producer(own)
    failures: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failures.append(error)

    producer.produce(topic, value, key, on_delivery=delivered)
    unsent = producer.flush(int(own["message.timeout.ms"]) / 1000 + 5)
    if failures or unsent:
        raise AirflowException(f"{topic} took no record: {failures[0] if failures else 'no answer in time'}")


class Reader:
    """Committed records of a topic from given positions on. It joins no group and commits nothing, so readers
    never take records from each other.
    """

    def __init__(self, settings: Mapping[str, Any], topic: str, positions: Positions) -> None:
        self._consumer = _consumer(settings)
        self._consumer.assign([TopicPartition(topic, int(number), at) for number, at in positions.items()])
        self.last_error: str | None = None
        """The last error of the client, which goes on trying."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def read(self) -> Iterator[Message]:
        """What has arrived; never waits (the client fetches in threads of its own)."""
        for message in self._consumer.consume(READ_AT_ONCE, timeout=0):
            if (error := message.error()) is None:
                yield message
            else:
                self.last_error = str(error.str())


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    found = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
    if found.error is not None:
        raise KafkaException(found.error)
    return list(found.partitions)


def _end_of(consumer: Consumer, topic: str, number: int) -> int:
    _, end = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=TIMEOUT_S)
    return int(end)


def _consumer(settings: Mapping[str, Any]) -> Consumer:
    return Consumer(
        {name: value for name, value in settings.items() if name not in PRODUCER_ONLY}
        | {
            # The client asks for a name; no group is joined under it.
            "group.id": "onpoint-airflow-reader",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            # Positions are given; this is for a topic made anew meanwhile, whose offsets start again.
            "auto.offset.reset": "earliest",
        }
    )
