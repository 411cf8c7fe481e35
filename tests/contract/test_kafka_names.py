"""Topics, their configuration and the names on the bus are the agreed ones (`tests/support/golden.py`)."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from shared.bus.dead_letters import Failure, dead_letter_headers, truncate_to_limit
from shared.bus.messages import Headers, Record
from shared.bus.retry_headers import Attempt, replay_headers, retry_headers
from shared.bus.topic_admin import load_topics
from shared.errors import PermanentError
from shared.events import topics
from shared.reasons import Reason
from tests.support import golden
from tests.support.records import ROOT

FILE = ROOT / "deploy" / "kafka" / "topics.yaml"
SERVICES = sorted(path.parent.name for path in (ROOT / "services").glob("*/app.py"))

FAILED_AT = datetime(2026, 11, 24, 6, 5, 4, 321000, tzinfo=UTC)
RECORD = Record(
    topic="batch.processed",
    partition=3,
    offset=42,
    timestamp_ms=1_795_500_304_321,
    key=b"7d0b7a4c2f0e4f5e8f8f4d1f6b1a2c3d",
    value=b'{"version":1,"run_id":"nightly-2026-11-24","batch_id":"7d0b7a4c2f0e4f5e8f8f4d1f6b1a2c3d"}',
    headers=(("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),),
)
WHOLE_RECORD_BYTES = 2_000_000
TRUNCATED_RECORD_BYTES = 32_100


def declared(file: Path) -> dict[str, dict[str, str | int]]:
    return {
        name: {"partitions": spec.partitions, **spec.config()} for name, spec in load_topics(file).items()
    }


def a_failure() -> Failure:
    error = PermanentError(Reason.CHECKSUM, "the artifact's bytes are not those of its hash")
    error.__cause__ = ValueError("bytes differ")
    return Failure(error, tries=5, first_failed_at=FAILED_AT - timedelta(seconds=8), failed_at=FAILED_AT)


def headers_of_a_dead_letter(most_bytes: int) -> Headers:
    body, cut = truncate_to_limit(RECORD, most_bytes)
    group = topics.consumer_group("loader")
    return (*dead_letter_headers(body, a_failure(), service="loader", group=group), *cut)


def shown(headers: Headers) -> list[str]:
    return [f"{name}: {(value or b'').decode()}" for name, value in headers]


def test_the_topics_are_the_agreed_ones() -> None:
    golden.compare("topics", declared(FILE))


def test_each_service_has_the_agreed_topics_and_group() -> None:
    found = {
        service: {
            "retry topic": topics.retry_topic(service),
            "dead letter topic": topics.dead_letter_topic(service),
            "consumer group": topics.consumer_group(service),
        }
        for service in SERVICES
    }
    golden.compare("services", found)


def test_retries_and_dead_letters_carry_the_agreed_headers_in_their_order() -> None:
    attempt = Attempt(RECORD, failed_tries=1, first_failed_at=None, due_at=None)
    due_at = FAILED_AT + timedelta(seconds=2)
    found = {
        "retry": retry_headers(attempt, first_failed_at=FAILED_AT, due_at=due_at),
        "replay of a dead letter": replay_headers(RECORD, now=FAILED_AT),
        "dead letter": headers_of_a_dead_letter(WHOLE_RECORD_BYTES),
        "dead letter that is cut": headers_of_a_dead_letter(TRUNCATED_RECORD_BYTES),
    }
    golden.compare("headers", {kind: shown(tuple(headers)) for kind, headers in found.items()})
