"""`onpoint dlq` on real topics and a real database; the dead letters are written as the bus writes them."""

import asyncio
import json
import os
import pty
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from typer.testing import CliRunner

from console.main import app
from shared.bus.dead_letters import Failure, dead_letter_headers
from shared.bus.kafka import to_record
from shared.bus.messages import Record
from shared.bus.retry_headers import next_attempt
from shared.errors import PermanentError
from shared.reasons import Reason
from tests.integration.console.played import Onpoint, Result
from tests.support import foreign_headers

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)


@dataclass
class DeadLetterTopics:
    """The dead-letter topics of the loader, as a test fills them for one run of its own."""

    producer: AIOKafkaProducer
    run_id: str
    batches: int = 0

    async def write(
        self, reason: Reason = Reason.OBJECT_MISSING, *, message: str = "it is gone", of: Record | None = None
    ) -> tuple[str, Record]:
        """The dead letter's name, and the record that failed."""
        record = of or self.record()
        failure = Failure(PermanentError(reason, message), 1, NOW, NOW)
        headers = dead_letter_headers(record, failure, service="loader", group="onpoint-loader")
        place = await self.producer.send_and_wait("loader.dlq", record.value, key=record.key, headers=headers)
        return f"loader:{place.partition}:{place.offset}", record

    def record(self) -> Record:
        self.batches += 1
        batch_id = f"{self.run_id}-{self.batches}"
        value = json.dumps({"run_id": self.run_id, "batch_id": batch_id}).encode()
        headers = (("traceparent", b"00-1"), ("raw", b"\xff"))
        return Record(
            "batch.processed", 3, self.batches, 1_795_000_000_000, batch_id.encode(), value, headers
        )

    def batch_id(self, number: int) -> str:
        return f"{self.run_id}-{number}"


@pytest.fixture
def onpoint(settings: dict[str, str]) -> Onpoint:
    """The command in this process, which spares each of many calls the start of a program."""
    others = {name: None for name in os.environ if name.startswith(("ONPOINT_", "PG"))}

    async def invoke(*words: str, **changes: str) -> Result:
        environment = {**others, **settings, "NO_COLOR": "1", **changes}
        result = await asyncio.to_thread(CliRunner().invoke, app, list(words), env=environment)
        return Result(result.exit_code, result.stdout, result.stderr)

    return invoke


Retries = Callable[[], Coroutine[Any, Any, list[Record]]]


@pytest.fixture
async def loader_dlq(kafka_servers: str) -> AsyncIterator[DeadLetterTopics]:
    producer = AIOKafkaProducer(bootstrap_servers=kafka_servers, acks="all")
    await producer.start()
    yield DeadLetterTopics(producer, f"test-{uuid.uuid4().hex}")
    await producer.stop()


@pytest.fixture
async def retries(kafka_servers: str) -> AsyncIterator[Retries]:
    """What was sent to `loader.retry` since the test began."""
    consumer = AIOKafkaConsumer("loader.retry", bootstrap_servers=kafka_servers, group_id=None)
    await consumer.start()
    partitions = [TopicPartition("loader.retry", number) for number in range(6)]
    await consumer.seek_to_end(*partitions)
    for partition in partitions:
        await consumer.position(partition)

    async def read() -> list[Record]:
        ends = await consumer.end_offsets(partitions)
        found: list[Record] = []
        while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
            for raws in (await consumer.getmany(timeout_ms=200)).values():
                found += [to_record(raw) for raw in raws]
        return found

    yield read
    await consumer.stop()


async def states(onpoint: Onpoint, loader_dlq: DeadLetterTopics) -> dict[str, str]:
    result = await onpoint(
        "dlq", "list", "--run", loader_dlq.run_id, "--state", "all", "--json", "-n", "1000"
    )
    assert result.code == 0, result.err
    return {entry["entry"]: entry["state"] for entry in json.loads(result.out)}


async def audit(ledger: asyncpg.Connection) -> list[tuple[Any, ...]]:
    rows = await ledger.fetch(
        'SELECT action, service, "partition", "offset", original_topic, original_partition, original_offset, run_id, '
        "batch_id, reason, acknowledged_at IS NOT NULL AS done FROM onpoint_console.dlq_actions ORDER BY id"
    )
    return [tuple(row) for row in rows]


async def test_open_dead_letters_are_listed_latest_first(
    onpoint: Onpoint, loader_dlq: DeadLetterTopics, ledger: asyncpg.Connection
) -> None:
    await ledger.execute(
        "INSERT INTO onpoint_runs.v_runs (run_id, status) VALUES ($1, 'running')", loader_dlq.run_id
    )
    first, _ = await loader_dlq.write()
    second, _ = await loader_dlq.write(Reason.SCHEMA, message="[red]id: \x1b[31mmissing")

    table = await onpoint("dlq", "list", "--run", loader_dlq.run_id, COLUMNS="120")
    narrowed = await onpoint("dlq", "list", "--run", loader_dlq.run_id, "--reason", "schema", "--json")
    limited = await onpoint("dlq", "list", "--run", loader_dlq.run_id, "-n", "1")
    elsewhere = await onpoint("dlq", "list", "--run", loader_dlq.run_id, "--service", "s3sink")

    assert table.code == 0, table.err
    assert table.out.index(second) < table.out.index(first)
    assert "[red]id: \\x1b[31mmissing" in table.out
    assert "2 open dead letters" in table.out
    (entry,) = json.loads(narrowed.out)
    assert (entry["entry"], entry["reason"], entry["state"]) == (second, "schema", "open")
    assert entry["original"] == {
        "topic": "batch.processed",
        "partition": 3,
        "offset": 2,
        "timestamp_ms": 1_795_000_000_000,
    }
    assert "the latest 1 of 2 open dead letters" in limited.out
    assert (elsewhere.code, elsewhere.out) == (0, "there are no open dead letters\n")


async def test_one_is_shown_whole_for_people_and_for_programs(
    onpoint: Onpoint, loader_dlq: DeadLetterTopics
) -> None:
    name, record = await loader_dlq.write()

    shown = await onpoint("dlq", "show", name, "--headers")
    short = await onpoint("dlq", "show", name)
    document = json.loads((await onpoint("dlq", "show", name, "--json")).out)

    assert shown.code == 0, shown.err
    assert "dlq.reason_code" not in short.out
    assert f'  "run_id": "{loader_dlq.run_id}"' in shown.out
    assert "dlq.reason_code         object_missing" in shown.out
    assert record.value is not None
    assert document["record"]["value"] == record.value.decode()
    headers = document["record"]["headers"]
    assert {"name": "raw", "value_base64": "/w=="} in headers
    assert {"name": "dlq.original.offset", "value": "1"} in headers
    assert document["data"] == []


async def test_a_replay_sends_the_record_as_it_was_to_the_group_that_gave_up_and_leaves_a_row(
    onpoint: Onpoint, loader_dlq: DeadLetterTopics, retries: Retries, ledger: asyncpg.Connection
) -> None:
    name, record = await loader_dlq.write()
    other, _ = await loader_dlq.write()

    result = await onpoint("dlq", "replay", name)

    assert (result.code, result.err) == (0, "")
    assert "sent 1 dead letter back to loader" in result.out
    (sent,) = await retries()
    attempt = next_attempt(sent)
    assert attempt.record == record
    assert attempt.is_replay
    assert await states(onpoint, loader_dlq) == {name: "replayed", other: "open"}
    _, partition, offset = name.split(":")
    assert await audit(ledger) == [
        (
            "replay",
            "loader",
            int(partition),
            int(offset),
            "batch.processed",
            3,
            1,
            loader_dlq.run_id,
            loader_dlq.batch_id(1),
            None,
            True,
        )
    ]


async def test_the_state_follows_from_the_ledger_and_later_failures(
    onpoint: Onpoint, loader_dlq: DeadLetterTopics, ledger: asyncpg.Connection
) -> None:
    (first, _), (second, record), (third, _) = [await loader_dlq.write() for _ in range(3)]
    await onpoint("dlq", "replay", first, second)
    await ledger.execute(
        "INSERT INTO onpoint_runs.v_results (batch_id, stage, status) VALUES ($1, 'loader', 'done'), ($2, 'loader', 'dead')",
        loader_dlq.batch_id(1),
        loader_dlq.batch_id(2),
    )
    again, _ = await loader_dlq.write(of=record)

    assert await states(onpoint, loader_dlq) == {first: "resolved", again: "open", third: "open"}
    shown = await onpoint("dlq", "show", second)
    assert f"{second} died again since: this is its latest dead letter" in shown.err
    assert shown.out.startswith(f"{again}  open")
    assert "before it died again" in shown.out


async def test_a_dry_run_lists_them_and_does_nothing(
    onpoint: Onpoint, loader_dlq: DeadLetterTopics, retries: Retries, ledger: asyncpg.Connection
) -> None:
    names = [(await loader_dlq.write())[0] for _ in range(3)]

    result = await onpoint("dlq", "replay", "--run", loader_dlq.run_id, "--dry-run", "--limit", "2")
    document = await onpoint(
        "dlq", "discard", "--run", loader_dlq.run_id, "--reason", "x", "--dry-run", "--json"
    )

    assert "2 dead letters would be replayed" in result.out
    assert names[2] not in result.out
    assert [entry["entry"] for entry in json.loads(document.out)] == names
    assert await retries() == []
    assert await audit(ledger) == []


async def test_a_replay_by_filter_takes_the_oldest_first_and_each_once(
    onpoint: Onpoint, loader_dlq: DeadLetterTopics, retries: Retries
) -> None:
    names = [(await loader_dlq.write())[0] for _ in range(5)]

    first = await onpoint("dlq", "replay", "--run", loader_dlq.run_id, "--limit", "2", "--json")
    second = await onpoint("dlq", "replay", "--run", loader_dlq.run_id, "--json")
    third = await onpoint("dlq", "replay", "--run", loader_dlq.run_id)

    assert set(json.loads(first.out)["replayed"]) == set(names[:2])
    assert set(json.loads(second.out)["replayed"]) == set(names[2:])
    assert (third.code, third.out) == (0, "no dead letter fits: nothing to do\n")
    assert sorted(next_attempt(record).record.offset for record in await retries()) == [1, 2, 3, 4, 5]


async def test_a_rate_is_obeyed(onpoint: Onpoint, loader_dlq: DeadLetterTopics, retries: Retries) -> None:
    for _ in range(12):
        await loader_dlq.write()

    result = await onpoint("dlq", "replay", "--run", loader_dlq.run_id, "--rate", "5/s")

    assert result.code == 0, result.err
    times = sorted(record.timestamp_ms for record in await retries())
    assert len(times) == 12
    assert times[-1] - times[0] >= 1800


async def test_a_hundred_and_more_are_read_again_and_sent_in_bounded_pieces(
    onpoint: Onpoint, loader_dlq: DeadLetterTopics, retries: Retries, ledger: asyncpg.Connection
) -> None:
    for _ in range(350):
        await loader_dlq.write()

    result = await onpoint("dlq", "replay", "--run", loader_dlq.run_id, "--json")

    assert len(json.loads(result.out)["replayed"]) == 350
    sent = [next_attempt(record).record for record in await retries()]
    assert sorted(record.offset for record in sent) == list(range(1, 351))
    assert len(await audit(ledger)) == 350
    assert set((await states(onpoint, loader_dlq)).values()) == {"replayed"}


async def test_a_discarded_one_is_no_longer_open_and_tells_why(
    onpoint: Onpoint, loader_dlq: DeadLetterTopics, retries: Retries, ledger: asyncpg.Connection
) -> None:
    name, _ = await loader_dlq.write()

    result = await onpoint("dlq", "discard", name, "--reason", "data of a test")

    assert (result.code, result.out) == (0, "discarded 1 dead letter\n")
    assert await states(onpoint, loader_dlq) == {name: "discarded"}
    assert "data of a test" in (await onpoint("dlq", "show", name)).out
    assert [(row[0], row[9], row[10]) for row in await audit(ledger)] == [("discard", "data of a test", True)]
    assert await retries() == []
    assert (await onpoint("dlq", "replay", name)).code == 0, "a discarded dead letter can still be replayed"
    assert await states(onpoint, loader_dlq) == {name: "replayed"}


async def test_one_without_its_topic_is_refused_and_stays_open(
    onpoint: Onpoint, loader_dlq: DeadLetterTopics, ledger: asyncpg.Connection
) -> None:
    value = json.dumps({"run_id": loader_dlq.run_id}).encode()
    place = await loader_dlq.producer.send_and_wait("loader.dlq", value)
    name = f"loader:{place.partition}:{place.offset}"

    result = await onpoint("dlq", "replay", name)

    assert result.code == 1
    assert f"{name} was not replayed: its headers do not name the topic" in result.err
    assert await audit(ledger) == []
    assert (await onpoint("dlq", "discard", name, "--reason", "unknown origin")).code == 0


async def test_a_record_of_the_largest_size_goes_back_or_is_refused_alone(
    onpoint: Onpoint, loader_dlq: DeadLetterTopics, retries: Retries, kafka_servers: str
) -> None:
    small, _ = await loader_dlq.write()
    noise = os.urandom(2_050_000)
    record = Record("batch.processed", 3, 99, 0, b"k", noise, ())
    failure = Failure(PermanentError(Reason.TOO_LARGE, "too large"), 1, NOW, NOW)
    headers = dead_letter_headers(record, failure, service="loader", group="onpoint-loader")
    big = AIOKafkaProducer(bootstrap_servers=kafka_servers, max_request_size=2_090_000)
    await big.start()
    place = await big.send_and_wait("loader.dlq", noise, key=b"k", headers=headers)
    await big.stop()
    name = f"loader:{place.partition}:{place.offset}"

    result = await onpoint("dlq", "replay", name, small)

    assert result.code == 1
    assert f"{name} was not replayed: Kafka refuses a record of this size" in result.err
    assert [next_attempt(sent).record.offset for sent in await retries()] == [1]
    await onpoint("dlq", "discard", name, "--reason", "too large")


async def test_more_than_one_is_asked_about_on_a_terminal(
    onpoint: Onpoint, loader_dlq: DeadLetterTopics, settings: dict[str, str]
) -> None:
    for _ in range(2):
        await loader_dlq.write()

    screen = await on_terminal(settings, "n\n", "dlq", "replay", "--run", loader_dlq.run_id)
    assert "Send 2 dead letters of loader back?" in screen
    assert set((await states(onpoint, loader_dlq)).values()) == {"open"}

    screen = await on_terminal(settings, "y\n", "dlq", "replay", "--run", loader_dlq.run_id)
    assert "sent 2 dead letters back to loader" in screen
    assert set((await states(onpoint, loader_dlq)).values()) == {"replayed"}


@pytest.mark.parametrize(
    "command", [("list",), ("replay", "--all"), ("discard", "--all", "--reason", "x")], ids=str
)
async def test_a_server_that_is_away_is_one_sentence(onpoint: Onpoint, command: tuple[str, ...]) -> None:
    no_kafka = await onpoint("dlq", *command, ONPOINT_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    no_postgres = await onpoint("dlq", *command, ONPOINT_POSTGRES_DSN="postgresql://me:secret@127.0.0.1:1/x")

    for result in (no_kafka, no_postgres):
        assert (result.code, result.out) == (1, "")
        assert result.err.count("\n") == 1
        assert "secret" not in result.err


async def test_a_database_without_the_table_is_reported_with_what_to_do(
    onpoint: Onpoint, ledger: asyncpg.Connection
) -> None:
    await ledger.execute("DROP SCHEMA onpoint_console CASCADE")

    assert "run `onpoint migrate`" in (await onpoint("dlq", "list")).err


async def test_one_that_is_not_there_is_told(onpoint: Onpoint) -> None:
    result = await onpoint("dlq", "show", "loader:0:999999999")

    assert result.code == 1
    assert result.err.startswith("onpoint: there is no dead letter loader:0:999999999")


async def on_terminal(settings: dict[str, str], answer: str, *words: str) -> str:
    """What the terminal shows where the question gets this answer."""
    terminal, program_end = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ONPOINT_", "PG"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "console",
        *words,
        cwd=ROOT,
        env={**inherited, **settings, "NO_COLOR": "1", "TERM": "xterm"},
        stdin=program_end,
        stdout=program_end,
        stderr=program_end,
    )
    os.close(program_end)
    os.write(terminal, answer.encode())
    seen = b""
    while True:
        try:
            piece = await asyncio.to_thread(os.read, terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    await asyncio.wait_for(process.wait(), 60)
    os.close(terminal)
    return " ".join(seen.decode("utf-8", "replace").split())


async def test_headers_of_other_programs_are_shown_and_go_back_byte_for_byte(
    onpoint: Onpoint, loader_dlq: DeadLetterTopics, retries: Retries
) -> None:
    died = replace(loader_dlq.record(), headers=foreign_headers.ALL)
    name, _ = await loader_dlq.write(of=died)

    shown = await onpoint("dlq", "show", name, "--headers")
    document = json.loads((await onpoint("dlq", "show", name, "--json")).out)
    replayed = await onpoint("dlq", "replay", name)

    assert (shown.code, replayed.code) == (0, 0), shown.err + replayed.err
    assert "\\xff" in shown.out
    assert not set(shown.out) & set("\x00\x05\x1b")
    assert (document["original"]["topic"], document["tries"]) == (died.topic, 1)
    assert len(document["record"]["headers"]) > len(died.headers)
    (sent,) = await retries()
    attempt = next_attempt(sent)
    assert attempt.record == died
    assert (attempt.is_replay, attempt.failed_tries) == (True, 0)
