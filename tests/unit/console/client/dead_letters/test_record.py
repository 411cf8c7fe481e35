import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from console.client.dead_letters.record import (
    Original,
    Position,
    original_record,
    parse_position,
    to_dead_letter,
)
from console.client.errors import InvalidRequestError
from shared.bus.dead_letters import Failure, dead_letter_headers
from shared.bus.messages import Record
from shared.bus.retry_headers import next_attempt, replay_headers
from shared.errors import PermanentError
from shared.reasons import Reason

NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
DIED = Record(
    topic="batch.processed",
    partition=3,
    offset=42,
    timestamp_ms=1_795_000_000_000,
    key=b"k",
    value=json.dumps({"run_id": "r1", "batch_id": "b1", "version": 1}).encode(),
    headers=(
        ("traceparent", b"00-1"),
        ("binary", b"\xff\x00"),
        ("null", None),
        ("twice", b"1"),
        ("twice", b"2"),
        ("", b"no name"),
        ("large", b"x" * 65_536),
    ),
)


def dead_letter_of(record: Record) -> Record:
    """The dead letter as the bus writes it."""
    failure = Failure(PermanentError(Reason.OBJECT_MISSING, "it is gone"), 2, NOW, NOW)
    added = dead_letter_headers(record, failure, service="loader", group="onpoint-loader")
    return Record("loader.dlq", 1, 7, 1_795_000_001_000, record.key, record.value, tuple(added))


def test_a_dead_letter_has_the_fields_that_the_bus_wrote() -> None:
    dead_letter = to_dead_letter(dead_letter_of(DIED), "loader")

    assert str(dead_letter.position) == "loader:1:7"
    assert dead_letter.original == Original("batch.processed", 3, 42, 1_795_000_000_000)
    assert (dead_letter.stage, dead_letter.reason, dead_letter.message) == (
        "loader",
        "object_missing",
        "it is gone",
    )
    assert (dead_letter.tries, dead_letter.failed_at, dead_letter.first_failed_at) == (2, NOW, NOW)
    assert (dead_letter.run_id, dead_letter.batch_id, dead_letter.result_stage) == ("r1", "b1", "loader")


def test_a_replay_is_the_record_that_died_byte_for_byte() -> None:
    raw = dead_letter_of(DIED)
    record = original_record(to_dead_letter(raw, "loader"), raw)
    assert record == DIED

    sent = Record("loader.retry", 0, 0, 0, record.key, record.value, tuple(replay_headers(record, now=NOW)))
    attempt = next_attempt(sent)
    assert attempt.record == DIED
    assert attempt.is_replay
    assert attempt.failed_tries == 0


@pytest.mark.parametrize(
    "headers",
    [
        (("dlq.original.topic", b"evil"), ("retry.topic", b"evil")),
        (("dlq.original.bytes", b"9"), ("dlq.tries", b"999")),
        (("dlq.run_id", b"other"), ("dlq.reason_code", None), ("dlq.failed_at", b"\xff")),
        (("__connect.errors.topic", b"evil"), ("__connect.errors.offset", b"1")),
        (("retry.replay", b"1"), ("retry.tries", b"999"), ("x-retry-count", b"999")),
    ],
    ids=repr,
)
def test_forged_headers_do_not_win_and_stay(
    headers: tuple[tuple[str, bytes | None], ...],
) -> None:
    forged = Record(DIED.topic, 3, 42, DIED.timestamp_ms, b"k", DIED.value, headers)
    raw = dead_letter_of(forged)
    dead_letter = to_dead_letter(raw, "loader")

    assert dead_letter == to_dead_letter(dead_letter_of(DIED), "loader")
    assert original_record(dead_letter, raw) == forged


def test_a_death_of_a_replay_does_not_pile_up() -> None:
    raw = dead_letter_of(DIED)
    again = original_record(to_dead_letter(raw, "loader"), raw)
    assert again is not None
    assert dead_letter_of(again).headers == raw.headers


def test_a_dead_letter_of_a_connect_sink_is_read_as_the_same_fields() -> None:
    headers = {
        "__connect.errors.topic": "cdc.public.onpoint_posts",
        "__connect.errors.partition": "0",
        "__connect.errors.offset": "12",
        "__connect.errors.connector.name": "lake",
        "__connect.errors.task.id": "0",
        "__connect.errors.stage": "VALUE_CONVERTER",
        "__connect.errors.class.name": "org.apache.kafka.connect.json.JsonConverter",
        "__connect.errors.exception.class.name": "org.apache.kafka.connect.errors.DataException",
        "__connect.errors.exception.message": "Converting byte[] failed",
        "__connect.errors.exception.stacktrace": "...",
    }
    raw = Record(
        "s3sink.dlq",
        0,
        1,
        1_795_000_000_000,
        None,
        b'{"run_id": "r9"}',
        tuple((name, value.encode()) for name, value in headers.items()),
    )
    dead_letter = to_dead_letter(raw, "s3sink")

    assert dead_letter.original == Original("cdc.public.onpoint_posts", 0, 12, 1_795_000_000_000)
    assert (dead_letter.reason, dead_letter.exception, dead_letter.run_id) == (
        "decode",
        "DataException",
        "r9",
    )
    assert dead_letter.message == "Converting byte[] failed"
    record = original_record(dead_letter, raw)
    assert record is not None
    assert record.headers == ()


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("dlq.original.topic", None),),
        (("dlq.original.topic", b"t"), ("dlq.original.partition", b"x"), ("dlq.original.offset", b"1")),
        (
            ("dlq.original.topic", b"\xff"),
            ("dlq.original.partition", b"1"),
            ("dlq.original.offset", b"9" * 99),
        ),
        (
            ("dlq.original.topic", b"t"),
            ("dlq.original.partition", b"2147483648"),
            ("dlq.original.offset", b"1"),
        ),
        (("dlq.tries", b"many"), ("dlq.failed_at", b"yesterday"), ("dlq.run_id", b"a\x00b")),
    ],
    ids=repr,
)
def test_whatever_lies_in_the_topic_is_an_entry_that_cannot_be_replayed(
    headers: tuple[tuple[str, bytes | None], ...],
) -> None:
    raw = Record("loader.dlq", 2, 5, 1_795_000_000_000, None, b"\xff[1", headers)
    dead_letter = to_dead_letter(raw, "loader")

    assert dead_letter.identity == "@2:5"
    assert original_record(dead_letter, raw) is None
    assert dead_letter.failed_at == raw.appended_at
    assert "\x00" not in dead_letter.run_id


def test_the_result_of_a_record_of_quality_is_that_of_the_stage_in_its_event() -> None:
    of_loader = Record("batch.loaded", 0, 0, 0, b"k", DIED.value)
    sealed = Record("run.sealed", 0, 0, 0, b"k", DIED.value)

    assert to_dead_letter(dead_letter_of(of_loader), "quality").result_stage == "loader"
    assert to_dead_letter(dead_letter_of(sealed), "quality").result_stage is None


def test_a_name_leads_to_its_place() -> None:
    assert parse_position("loader:3:42") == Position("loader", 3, 42)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("loader", "names no dead letter"),
        ("loader:3", "names no dead letter"),
        ("loader:-1:2", "names no dead letter"),
        ("loader:1:99999999999999999999", "names no dead letter"),
        ("lader:1:2", "there is no service lader; did you mean loader?"),
    ],
)
def test_what_is_not_a_name_is_reported(text: str, sentence: str) -> None:
    with pytest.raises(InvalidRequestError, match=sentence.replace("?", r"\?")):
        parse_position(text)


def test_a_dead_letter_names_the_dataset_of_its_record() -> None:
    for value, dataset in (
        (b'{"run_id": "r1", "dataset": "posts"}', "posts"),
        (b'{"dataset":"a_b1","x":1}', "a_b1"),
        (b'{"dataset": "no name"}', ""),
        (b"\xff", ""),
        (None, ""),
    ):
        assert to_dead_letter(dead_letter_of(replace(DIED, value=value)), "loader").dataset == dataset
