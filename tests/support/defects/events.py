"""Single defects of topics, dead letters, processes and logs."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from console.verify.dead_letters import BadEvent
from shared.bus.dead_letters import Failure, dead_letter_headers
from shared.bus.kafka import to_record
from shared.bus.messages import Record
from shared.bus.retry_headers import replay_headers
from shared.errors import PermanentError
from shared.reasons import Reason
from tests.support.damaged_stack import DamagedStack, Defects, Headers

REQUESTED = "crawl.batch.requested"
UNKNOWN = json.dumps(
    {"run_id": "first", "batch_id": "f" * 32, "dataset": "posts", "work": {"kind": "pages"}}
).encode()
NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)

defect = Defects()


@defect("I6", "a record waits to be handled")
async def waits(target: DamagedStack) -> AsyncIterator[str]:
    async with target.sent(REQUESTED, UNKNOWN) as offset, target.committed("crawler", REQUESTED, offset):
        yield f"group onpoint-crawler on {REQUESTED}-0"


def _skipped(title: str, service: str, topic: str, value: bytes | None, key: bytes | None = None) -> None:
    @defect("I6", title)
    async def seed(target: DamagedStack) -> AsyncIterator[str]:
        async with target.sent(topic, value, key=key) as offset, target.committed(service, topic, offset + 1):
            yield f"record {topic}-0 offset {offset}"


_skipped("a record was skipped without a result", "crawler", REQUESTED, UNKNOWN)
_skipped("an undecodable record was skipped", "crawler", REQUESTED, b"\xff{")
_skipped("a tombstone was skipped", "s3sink", "run.sealed", None, b"first")


@defect("I6", "a retry was skipped")
async def skipped_retry(target: DamagedStack) -> AsyncIterator[str]:
    headers = replay_headers(replace(_record(target, value=UNKNOWN), offset=123_456), now=NOW)
    async with (
        target.sent("converter.retry", UNKNOWN, headers=headers) as offset,
        target.committed("converter", "converter.retry", offset + 1),
    ):
        yield f"record converter.retry-0 offset {offset}"


@defect("I6", "a retry waits")
async def retry_waits(target: DamagedStack) -> AsyncIterator[str]:
    headers = replay_headers(replace(_record(target, value=UNKNOWN), offset=123_456), now=NOW)
    async with (
        target.sent("converter.retry", UNKNOWN, headers=headers) as offset,
        target.committed("converter", "converter.retry", offset),
    ):
        yield "group onpoint-converter on converter.retry-0"


@defect("I6", "a group has committed what is not there")
async def beyond_the_end(target: DamagedStack) -> AsyncIterator[str]:
    async with target.committed("converter", "batch.processed", 10_000):
        yield "group onpoint-converter on batch.processed-0"


def _record(target: DamagedStack, value: bytes | None = b"\xffbad") -> Record:
    """The bad event that the damaged stack published to `batch.processed`."""
    assert target.options.bad_events
    topic, partition, offset = target.options.bad_events[0].place
    return Record(topic, partition, offset, 1_795_000_000_000, b"bad", value, (("own", b"1"),))


def _headers_of(record: Record) -> Headers:
    failure = Failure(PermanentError(Reason.DECODE, "not JSON"), 1, NOW, NOW)
    return dead_letter_headers(record, failure, service="converter", group="onpoint-converter")


def _dead(
    title: str, record_changes: dict[str, object], *, without: str = "", value: bytes | None = b"\xffbad"
) -> None:
    @defect("I7", title)
    async def seed(target: DamagedStack) -> AsyncIterator[str]:
        record = replace(_record(target), **record_changes)  # type: ignore[arg-type]  # fields of the record
        headers = [entry for entry in _headers_of(record) if entry[0] != without]
        async with target.sent("converter.dlq", value, key=record.key, headers=headers) as offset:
            yield f"dead letter converter:0:{offset}"


for header in ("dlq.original.offset", "dlq.reason_code", "dlq.original.key", "dlq.failed_at"):
    _dead(f"a dead letter lacks {header}", {}, without=header)
_dead("a dead letter has other bytes than its record", {}, value=b"\xffbaD")
_dead("a dead letter has lost its value", {}, value=None)
_dead("a dead letter has another key than its record", {"key": b"other"})
_dead("a dead letter has lost a header of its record", {"headers": ()})
_dead("a dead letter is of a record that never was", {"offset": 123_456})


@defect("I7", "a record has two dead letters")
async def twice_dead(target: DamagedStack) -> AsyncIterator[str]:
    record = _record(target)
    async with target.sent("converter.dlq", record.value, key=record.key, headers=_headers_of(record)):
        yield "dead letter converter:"  # either of the two: they are read in any order


@defect("I7", "a good record is in the dead letters")
async def undeserved(target: DamagedStack) -> AsyncIterator[str]:
    seen = await target.records("batch.processed")
    record = next(to_record(raw) for raw in seen if raw.value.startswith(b"{"))
    headers = _headers_of(record)
    async with target.sent("converter.dlq", record.value, key=record.key, headers=headers) as offset:
        yield f"dead letter converter:0:{offset}"


@defect("I7", "a bad event has no dead letter")
async def no_dead_letter(target: DamagedStack) -> AsyncIterator[str]:
    async with target.sent(REQUESTED, b"\xffbad") as offset:
        bad = BadEvent((REQUESTED, 0, offset), b"\xffbad")
        with target.with_options(bad_events=[*(target.options.bad_events or ()), bad]):
            yield f"record {REQUESTED}-0 offset {offset}"


@defect("I4", "a completion was seen before its rows")
async def seen_early(target: DamagedStack) -> AsyncIterator[str]:
    with target.with_options(observed=[{"run_id": "second", "rows": {"posts": 3}, "listing": True}]):
        yield "run.completed of second"


@defect("I4", "a completion was seen before its listing")
async def seen_unlisted(target: DamagedStack) -> AsyncIterator[str]:
    with target.with_options(observed=[{"run_id": "second", "rows": {}, "listing": False}]):
        yield "run.completed of second"


def _baseline(title: str, **less: int) -> None:
    """The baseline is lower by these amounts."""

    @defect("I10", title)
    async def seed(target: DamagedStack) -> AsyncIterator[str]:
        now = target.usages["loader"]
        before = replace(now, **{name: getattr(now, name) - by for name, by in less.items()})
        with target.with_options(baseline={"loader": before}):
            yield "process loader"


_baseline("a process's memory has grown", rss_bytes=500 * 2**20)
_baseline("a process has more open handles", fds=100)
_baseline("a process has more threads", threads=100)
_baseline("a process has more connections", connections=20)
_baseline("a process has ended by itself", restarts=1)


@defect("I10", "a process is gone")
async def process_gone(target: DamagedStack) -> AsyncIterator[str]:
    with target.with_options(baseline={**target.usages, "failing_run": target.usages["loader"]}):
        yield "process failing_run"


def _log(title: str, line: str) -> None:
    @defect("I11", title)
    async def seed(target: DamagedStack) -> AsyncIterator[str]:
        assert target.options.logs is not None
        file = Path(target.options.logs) / "loader.log"
        before = file.read_bytes()
        file.write_bytes(before + line.encode() + b"\n")
        number = before.count(b"\n") + 1
        yield f"loader.log, line {number}"
        file.write_bytes(before)


_log(
    "a secret is in a log",
    '{"level": "info", "event": "connect", "dsn": "postgresql://u:planted-secret@h/d"}',
)
_log("a secret is in a line that is not JSON", "Traceback: planted-secret")
_log("an error does not name what failed", '{"level": "error", "event": "it_broke"}')
