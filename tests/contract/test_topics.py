"""What deploy/kafka/topics.yaml declares is what the code names."""

from pathlib import Path

from shared.bus.publisher import MAX_DEAD_LETTER_BYTES
from shared.bus.topic_admin import load_topics
from shared.events import topics
from shared.events.topology import SERVICES

FILE = Path(__file__).parents[2] / "deploy" / "kafka" / "topics.yaml"


def named_in_code() -> set[str]:
    names = {value for name, value in vars(topics).items() if name.isupper() and isinstance(value, str)}
    for service in SERVICES:
        names |= {topics.retry_topic(service), topics.dead_letter_topic(service)}
    return names


def test_every_topic_of_the_code_is_declared_and_no_other() -> None:
    assert set(load_topics(FILE)) == named_in_code()


def test_another_number_of_partitions_takes_the_place_of_the_default_alone() -> None:
    before, after = load_topics(FILE), load_topics(FILE, partitions=24)
    assert after[topics.CRAWL_REQUESTED] == before[topics.CRAWL_REQUESTED]
    assert {name for name in after if after[name].partitions == 24} == {
        name for name in before if before[name].partitions == before[topics.BATCH_CRAWLED].partitions
    }


def test_requests_and_completions_are_in_one_order() -> None:
    specs = load_topics(FILE)
    assert specs[topics.CRAWL_REQUESTED].partitions == 1
    assert specs[topics.CRAWL_REQUESTED].timestamp_type == "LogAppendTime"
    assert specs[topics.RUN_COMPLETED].partitions == 1
    assert specs[topics.RUN_COMPLETED].cleanup == "compact"


def test_a_dead_letter_topic_takes_the_largest_record_and_its_headers() -> None:
    specs = load_topics(FILE)
    largest = max(specs[name].max_message_bytes for name in specs if not name.endswith((".dlq", ".retry")))
    assert all(
        specs[topics.dead_letter_topic(service)].max_message_bytes > largest + 500_000 for service in SERVICES
    )


def test_what_the_producer_sends_to_a_retry_topic_the_broker_takes() -> None:
    """A refusal by the broker would leave the idempotent producer out of order."""
    specs = load_topics(FILE)
    assert all(
        specs[topics.retry_topic(service)].max_message_bytes > MAX_DEAD_LETTER_BYTES for service in SERVICES
    )
