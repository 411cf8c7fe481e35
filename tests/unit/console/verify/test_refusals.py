"""Which record of the source a line stands for when pages are missing, and which rows PostgreSQL refused."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import pytest
import zstandard

from console.verify.database import AuditRows, File, Result, Run
from console.verify.expected import Batch, Expected, gather
from console.verify.findings import Findings
from console.verify.forms import Forms
from console.verify.refusals import learn, rows_of_source
from console.verify.source import SourceRecords
from console.verify.staging import Documents, Manifest
from shared.events import ids
from shared.transforms.apply import Transformer
from tests.unit.console.verify.conftest import START, dataset_of

SOURCE = SourceRecords(b"".join(b'{"id": %d, "name": "n"}\n' % n for n in range(12)))
FILE = dataset_of({"id": "int64", "name": "string"})
MISSING_PAGE: list[dict[str, Any]] = [
    {"place": 0, "rows": 5, "reason": None},
    {"place": 5, "rows": 0, "reason": "fetch"},
    {"place": 5, "rows": 2, "reason": None},
]
"""Of three pages of five records the second failed."""


def packed(lines: Sequence[Mapping[str, Any]]) -> bytes:
    return zstandard.compress(b"".join(json.dumps(line).encode() + b"\n" for line in lines))


class FakeStore:
    """The objects of the store; the first run asked the source, and each later one replays the one before."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.documents = Documents()
        self.results: list[Result] = []
        self.runs: dict[str, Run] = {}
        self.findings = Findings()

    def file(self, name: str, form: str, lines: Sequence[Mapping[str, Any]] | None) -> File:
        uri = f"s3://staging/{name}.{form}"
        if lines is not None:
            self.objects[uri] = packed(lines)
        return File(uri, form, 0, 0, "")

    def run(
        self,
        run_id: str,
        counts: tuple[int, ...],
        *,
        log: Sequence[Mapping[str, Any]] | None = None,
        refused: Sequence[Mapping[str, Any]] | None = None,
        replays: str | None = None,
        missing: int = 1,
    ) -> str:
        batch_id = ids.batch_id(run_id, "d", 0)
        self.runs[run_id] = Run(run_id, "partial", START, START, ("d",), {}, None, None, {"d": 1})
        files = () if replays else (self.file(f"{run_id}-log", "requests.jsonl.zst", log),)
        crawled = Result(run_id, "d", 0, batch_id, "crawler", "done", None, counts, files, missing)
        quarantine = (self.file(run_id, "quarantine.jsonl.zst", refused),) if refused is not None else ()
        self.results.append(Result(run_id, "d", 0, batch_id, "processor", "done", None, counts, quarantine))
        self.documents.manifests[batch_id, "crawler"] = Manifest("", crawled, 0)
        plan: dict[str, Any] = {"page_size": 5}
        if replays is not None:
            plan = {"page_size": 0, "replay": {"run_id": replays, "stage": "processor"}}
        self.documents.plans[run_id, "d"] = plan
        return batch_id

    async def learn(self) -> Expected:
        audit = AuditRows(self.runs, frozenset(), self.results, [], [], [], frozenset())
        forms = Forms("onpoint_d", {}, {"d": FILE}, self.findings)
        files = {(run_id, "d"): (FILE, True) for run_id in self.runs}
        expected = gather(forms, files, ["id"], {"id": pl.Int64()}, {"d": SOURCE}, audit, self.documents)
        loaded = {result.batch_id: result for result in self.results if result.stage == "loader"}
        await learn(expected, loaded, self.documents, self._read, self.findings)
        return expected

    async def _read(self, uri: str) -> bytes | None:
        return self.objects.get(uri)


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def source_ids(store: FakeStore, batch: Batch) -> list[int]:
    assert batch.source is not None
    rows = list(rows_of_source(batch, batch.source, Transformer(), store.findings))
    return [] if not rows else rows[0]["id"].to_list()


async def test_a_missing_page_without_a_line_is_passed_over(store: FakeStore) -> None:
    batch_id = store.run("first", (7, 7, 0, 0, 0, 0, 0, 0), log=MISSING_PAGE)
    batch = (await store.learn()).batches[batch_id]
    assert source_ids(store, batch) == [0, 1, 2, 3, 4, 10, 11]
    assert store.findings.violations == []


async def test_a_missing_page_of_a_batch_that_went_on_from_a_checkpoint_is_passed_over(
    store: FakeStore,
) -> None:
    batch_id = store.run("first", (7, 7, 0, 0, 0, 0), log=MISSING_PAGE)
    [uri] = store.objects
    store.objects[uri] = packed(MISSING_PAGE[:1]) + packed(MISSING_PAGE[1:])
    batch = (await store.learn()).batches[batch_id]
    assert source_ids(store, batch) == [0, 1, 2, 3, 4, 10, 11]


async def test_a_missing_page_that_a_line_stands_for_is_passed_over(store: FakeStore) -> None:
    line = {"source_position": 5, "reason": "fetch", "raw": "null"}
    batch_id = store.run("first", (8, 7, 1, 0, 0, 0, 0, 0), log=[], refused=[line])
    batch = (await store.learn()).batches[batch_id]
    assert source_ids(store, batch) == [0, 1, 2, 3, 4, 10, 11]
    assert store.findings.violations == []


async def test_two_missing_pages_are_passed_over(store: FakeStore) -> None:
    log: list[dict[str, Any]] = [
        {"place": 0, "rows": 0, "reason": "fetch"},
        {"place": 0, "rows": 0, "reason": "fetch"},
        {"place": 0, "rows": 2, "reason": None},
    ]
    batch_id = store.run("first", (2, 2, 0, 0, 0, 0, 0, 0), log=log, missing=2)
    batch = (await store.learn()).batches[batch_id]
    assert source_ids(store, batch) == [10, 11]


async def test_a_request_that_found_nothing_behind_the_last_page_is_not_a_gap(store: FakeStore) -> None:
    log: list[dict[str, Any]] = [*MISSING_PAGE, {"place": 7, "rows": 0, "reason": None}]
    batch_id = store.run("first", (7, 7, 0, 0, 0, 0, 0, 0), log=log)
    assert (await store.learn()).batches[batch_id].gaps == ((5, 5),)


async def test_a_replay_of_a_replay_has_the_gaps_of_the_first(store: FakeStore) -> None:
    store.run("first", (7, 7, 0, 0, 0, 0, 0, 0), log=MISSING_PAGE)
    store.run("second", (7, 7, 0, 0, 0, 0, 0, 0), replays="first")
    third = store.run("third", (7, 7, 0, 0, 0, 0, 0, 0), replays="second")
    batch = (await store.learn()).batches[third]
    assert source_ids(store, batch) == [0, 1, 2, 3, 4, 10, 11]


async def test_where_no_log_names_the_gaps_rows_are_not_compared_with_the_source(store: FakeStore) -> None:
    batch_id = store.run("first", (7, 7, 0, 0, 0, 0, 0, 0), log=None)
    assert (await store.learn()).batches[batch_id].source is None
    assert store.findings.holds
    assert len(store.findings.notes) == 1


async def test_replays_in_a_circle_end(store: FakeStore) -> None:
    store.run("first", (7, 7, 0, 0, 0, 0, 0, 0), replays="second")
    store.run("second", (7, 7, 0, 0, 0, 0, 0, 0), replays="first")
    await store.learn()
    assert store.findings.holds


async def test_rows_that_postgresql_refused_are_known_by_the_loaders_quarantine(store: FakeStore) -> None:
    batch_id = store.run("first", (12, 12, 0, 0, 0, 0, 0, 0), log=[], missing=0)
    refused = store.file("refused", "quarantine.jsonl.zst", [{"source_position": 3}, {"source_position": 9}])
    counts = (12, 0, 2, 0, 10, 0, 0, 0)
    store.results.append(Result("first", "d", 0, batch_id, "loader", "done", None, counts, (refused,)))
    assert (await store.learn()).batches[batch_id].unloaded == {3, 9}
    assert store.findings.holds


async def test_a_refused_row_that_is_not_in_the_loaders_quarantine_is_named(store: FakeStore) -> None:
    batch_id = store.run("first", (12, 12, 0, 0, 0, 0, 0, 0), log=[], missing=0)
    refused = store.file("refused", "quarantine.jsonl.zst", [{"source_position": 3}])
    counts = (12, 0, 2, 0, 10, 0, 0, 0)
    store.results.append(Result("first", "d", 0, batch_id, "loader", "done", None, counts, (refused,)))
    await store.learn()
    assert [violation.message for violation in store.findings.violations] == [
        "PostgreSQL refused 2 rows, 1 are in quarantine"
    ]


async def test_of_a_loaders_quarantine_that_is_swept_the_number_is_known(store: FakeStore) -> None:
    batch_id = store.run("first", (12, 12, 0, 0, 0, 0, 0, 0), log=[], missing=0)
    refused = store.file("refused", "quarantine.jsonl.zst", None)
    counts = (12, 0, 2, 0, 10, 0, 0, 0)
    store.results.append(Result("first", "d", 0, batch_id, "loader", "done", None, counts, (refused,)))
    assert (await store.learn()).batches[batch_id].unloaded_unknown == 2


@pytest.mark.parametrize(("records", "is_reported"), [(13, True), (12, False), (7, False)])
async def test_a_source_with_fewer_records_than_were_crawled_is_told_first_and_once(
    store: FakeStore, records: int, *, is_reported: bool
) -> None:
    log: list[dict[str, Any]] = [{"place": 0, "rows": records, "reason": None}]
    store.run("first", (records, records, 0, 0, 0, 0), log=log, missing=0)
    expected = await store.learn()
    for batch in expected.batches.values():
        source_ids(store, batch)
    problems = [f"{violation.subject}: {violation.message}" for violation in store.findings.violations]
    first = "the source: it has 12 records, run first crawled 13 of d: is it the right file?"
    assert problems[:1] == ([first] if is_reported else [])
    assert problems.count(first) == is_reported


async def test_a_refused_line_is_not_a_record_that_the_source_must_have(store: FakeStore) -> None:
    refused = [{"source_position": 12, "reason": "fetch", "raw": "null"}]
    store.run("first", (13, 12, 1, 0, 0, 0, 0, 0), log=[], refused=refused)
    await store.learn()
    assert store.findings.violations == []
