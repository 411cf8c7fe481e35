"""I6: each record led to something, for each service that handles it and for quality, which only counts."""

import json
from datetime import UTC, datetime

import pytest
from aiokafka import TopicPartition

from console.verify.bus import Bus, digest_of
from console.verify.database import AuditRows, Run
from console.verify.findings import Findings
from console.verify.record_accounting import RecordAccounting, check_lag
from shared.bus.messages import Record
from shared.events import topics
from shared.events.ids import run_id_of_record

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)
AT_MS = int(NOW.timestamp() * 1000)


def requested(value: object, topic: str = topics.CRAWL_REQUESTED) -> Record:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Record(topic, 0, 3, AT_MS, None, body)


def run(run_id: str, status: str = "succeeded") -> Run:
    return Run(run_id, status, NOW, NOW, ("posts",), None, None, None, {"posts": 1})


def problems(bus: Bus, *runs: Run) -> list[str]:
    findings = Findings()
    audit = AuditRows({one.run_id: one for one in runs}, frozenset(), [], [], [], [], frozenset())
    RecordAccounting(audit, bus, findings).check()
    return [violation.message for violation in findings.violations]


def bus_of(*records: Record) -> Bus:
    record = [digest_of(record) for record in records]
    return Bus(records={one.place: one for one in record})


@pytest.mark.parametrize(
    "value", [{}, {"datasets": ["posts"]}, {"run_id": None}, {"run_id": "../up"}, {"run_id": 5}]
)
def test_a_request_without_an_id_that_could_be_used_is_accounted_for_by_the_run_of_its_record(
    value: object,
) -> None:
    derived = run_id_of_record(topics.CRAWL_REQUESTED, 0, 3, AT_MS, NOW)
    assert problems(bus_of(requested(value)), run(derived)) == []


def test_a_request_of_an_unknown_run_is_reported_for_each_reader() -> None:
    assert problems(bus_of(requested({"run_id": "r"}))) == [
        "crawler has left no result of it, and no dead letter",
        "quality does not know its run",
    ]


def test_a_unit_of_work_whose_run_is_not_known_is_told() -> None:
    unit = requested({"run_id": "r", "work": {"kind": "pages"}}, topics.CRAWL_BATCH_REQUESTED)
    assert "quality does not know its run" in problems(bus_of(unit))


def test_a_group_is_asked_how_far_it_is_on_what_it_only_listens_to() -> None:
    place = TopicPartition(topics.CRAWL_REQUESTED, 0)
    bus = Bus(ends={place: 4}, lasts={place: 3}, committed={"crawler": {place: 4}, "quality": {place: 2}})
    findings = Findings()
    check_lag(bus, findings)
    assert [violation.subject for violation in findings.violations] == [
        "group onpoint-quality on crawl.requested-0"
    ]
