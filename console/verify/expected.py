"""What must have arrived: every accepted record of every batch, as keys, places and digests of rows.

Which records of a batch were refused its quarantine says; each of them must be the source's record, and one that no
rule refuses. Of equal keys in a batch the last wins.
"""

import base64
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import zstandard

from console.verify.database import Books, Result, Run
from console.verify.findings import Findings
from console.verify.source import SourceRecords, complaint, parse, rows_of
from console.verify.staging import Documents
from shared.datasets.model import Dataset

CHUNK = 50_000

LINEAGE = ("_run_id", "_batch_id", "_requested_at", "_source_position")
INDEX = ("_run", "_batch", "_source_position", "_row")
"""Number of the run in the order of requests, number of the batch, place in the source, digest of the whole row."""

Read = Callable[[str], Awaitable[bytes | None]]
"""The bytes of an object by its URI."""


@dataclass(slots=True)
class Batch:
    """A batch that was processed."""

    number: int
    run: Run
    processed: Result
    first_position: int
    rejected: frozenset[int] = frozenset()
    """Places of refused lines, from the batch's first."""
    shift: tuple[int, ...] = ()
    """Lines that stand for a whole page which is missing."""
    page_size: int = 1
    stages: frozenset[str] = frozenset()
    """Those that are done with it."""

    def source_index(self, line: int) -> int:
        """Of the line's record in the source."""
        return self.first_position + line + sum(place < line for place in self.shift) * (self.page_size - 1)


@dataclass(slots=True)
class Expected:
    """Of one dataset."""

    dataset: Dataset
    source: SourceRecords | None
    batches: dict[str, Batch] = field(default_factory=dict)
    index: pl.DataFrame = field(default_factory=pl.DataFrame)
    """The dataset's key and `INDEX`, one row per accepted record."""

    def row(self, batch_number: int, position: int) -> dict[str, Any] | None:
        """The row that must be there, in full; None without a source."""
        batch = next(batch for batch in self.batches.values() if batch.number == batch_number)
        if self.source is None:
            return None
        record = parse(self.source[batch.source_index(position - batch.first_position)])
        frame = rows_of(self.dataset, [record])
        return with_lineage(frame, batch, pl.Series([position])).row(0, named=True)


def with_lineage(frame: pl.DataFrame, batch: Batch, positions: pl.Series) -> pl.DataFrame:
    """The rows with the columns that say where each came from; `positions` become `_source_position`."""
    return frame.with_columns(
        pl.lit(batch.run.run_id).alias("_run_id"),
        pl.lit(batch.processed.batch_id).alias("_batch_id"),
        pl.lit(batch.run.requested_at)
        .dt.convert_time_zone("UTC")
        .dt.cast_time_unit("us")
        .alias("_requested_at"),
        positions.cast(pl.Int64).alias("_source_position"),
    )


def digest(frame: pl.DataFrame, dataset: Dataset) -> pl.Series:
    """A row's content as a number: equal rows have equal ones, in this process."""
    names = [column.name for column in dataset.columns]
    return frame.select(*names, *LINEAGE).hash_rows(seed=7).alias("_row")


async def expect(
    dataset: Dataset,
    source: SourceRecords | None,
    books: Books,
    documents: Documents,
    read: Read,
    findings: Findings,
) -> Expected:
    """Memory is about forty bytes and the key of each accepted record."""
    expected = Expected(dataset, source)
    runs = sorted(books.runs.values(), key=lambda run: run.order)
    numbers = {run.run_id: number for number, run in enumerate(runs)}
    done: dict[str, set[str]] = {}
    for result in books.results:
        if result.dataset == dataset.name and result.status == "done":
            done.setdefault(result.batch_id, set()).add(result.stage)
    for result in sorted(books.results, key=lambda r: (numbers[r.run_id], r.sequence)):
        if result.dataset == dataset.name and result.stage == "processor" and result.status == "done":
            expected.batches[result.batch_id] = _batch(
                len(expected.batches),
                books.runs[result.run_id],
                result,
                documents,
                frozenset(done[result.batch_id]),
            )
    pieces = []
    for batch in expected.batches.values():
        if source is not None and await _learn_refusals(expected, batch, source, read, findings):
            pieces += list(_index(expected, batch, source, numbers[batch.run.run_id], findings))
    if pieces:
        expected.index = pl.concat(pieces)
    return expected


def _batch(number: int, run: Run, result: Result, documents: Documents, stages: frozenset[str]) -> Batch:
    found = documents.manifests.get((result.batch_id, "crawler"))
    processed = documents.manifests.get((result.batch_id, "processor"))
    first = found or processed
    plan: Mapping[str, Any] = documents.plans.get((run.run_id, result.dataset), {})
    return Batch(
        number, run, result, 0 if first is None else first.first_position,
        page_size=max(1, plan.get("page_size") or 1), stages=stages,
    )  # fmt: skip


async def _learn_refusals(
    expected: Expected, batch: Batch, source: SourceRecords, read: Read, findings: Findings
) -> bool:
    """Reads the batch's quarantine. False: it cannot be told what was refused."""
    name = batch.processed.name
    lines: list[dict[str, Any]] = []
    for file in batch.processed.files:
        if file.format == "quarantine.jsonl.zst":
            packed = await read(file.uri)
            if packed is None:
                findings.note(f"{name}: its quarantine is gone, so its records are not compared")
                return False
            try:
                text = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
                lines += [json.loads(line) for line in text.split(b"\n") if line]
            except (zstandard.ZstdError, ValueError) as error:
                findings.add("I1", file.uri, f"the quarantine of {name} cannot be read: {error}")
                return False
    places = [line["source_position"] - batch.first_position for line in lines]
    # Such a line stands for as many records as a page has, so whatever follows it lies further on in the source.
    batch.shift = tuple(
        place
        for place, line in zip(places, lines, strict=True)
        if line["reason"] == "fetch" and batch.page_size > 1
    )
    batch.rejected = frozenset(places)
    findings.require(
        "I1",
        len(batch.rejected) == len(lines) == batch.processed["rejected"],
        name,
        f"{batch.processed['rejected']} records were rejected, {len(lines)} are in quarantine",
    )
    for place, line in zip(places, lines, strict=True):
        _check_refusal(expected.dataset, batch, place, line, source, findings)
    return True


def _check_refusal(
    dataset: Dataset,
    batch: Batch,
    place: int,
    line: dict[str, Any],
    source: SourceRecords,
    findings: Findings,
) -> None:
    subject = f"{dataset.name} record {line['source_position']} of {batch.run.run_id}"
    if line["reason"] == "fetch":
        findings.count("I1")
        return
    index = batch.source_index(place)
    if not findings.require(
        "I1", index < len(source), subject, f"it is in quarantine, the source has {len(source)}"
    ):
        return
    raw = line["raw"].encode() if "raw" in line else base64.b64decode(line.get("raw_base64", ""))
    record = source[index]
    if not same(raw, record, whole=line["reason"] != "too_large"):
        findings.add(
            "I1", subject, f"its raw text in quarantine is not the source's: {raw[:80]!r}, {record[:80]!r}"
        )
        return
    try:
        why = complaint(dataset, parse(record))
    except ValueError:
        return
    findings.require(
        "I1", why is not None, subject, f"it is refused ({line['reason']}), though nothing is wrong with it"
    )


def same(raw: bytes, record: bytes, *, whole: bool = True) -> bool:
    """Whether both are the same JSON value; white space between its parts does not matter."""
    if raw == record or (not whole and record.startswith(raw)):
        return True
    try:
        return bool(_exactly(raw) == _exactly(record))
    except (ValueError, RecursionError):
        return b"".join(raw.split()) == b"".join(record.split())


def _exactly(text: bytes) -> Any:
    return json.loads(text, parse_float=str, parse_int=str, object_pairs_hook=tuple)


def _index(
    expected: Expected, batch: Batch, source: SourceRecords, run_number: int, findings: Findings
) -> Iterator[pl.DataFrame]:
    dataset, pieces = expected.dataset, []
    lines = [line for line in range(batch.processed["read"]) if line not in batch.rejected]
    for start in range(0, len(lines), CHUNK):
        some = lines[start : start + CHUNK]
        indexes = (
            [batch.source_index(line) for line in some]
            if batch.shift
            else [batch.first_position + line for line in some]
        )
        if indexes and indexes[-1] >= len(source):
            findings.add(
                "I1",
                batch.processed.name,
                f"it has a record {indexes[-1]}, the source ends before {len(source)}",
            )
            return
        try:
            frame = rows_of(dataset, [parse(source[index]) for index in indexes])
        except (TypeError, ValueError, AttributeError, OverflowError, pl.exceptions.PolarsError):
            _name_what_no_rule_accepts(dataset, batch, indexes, source, findings)
            return
        positions = pl.Series([batch.first_position + line for line in some], dtype=pl.Int64)
        whole = with_lineage(frame, batch, positions)
        pieces.append(
            whole.select(
                *dataset.key,
                pl.lit(run_number, pl.UInt32).alias("_run"),
                pl.lit(batch.number, pl.UInt32).alias("_batch"),
                "_source_position",
            ).with_columns(digest(whole, dataset))
        )
    if not pieces:
        return
    accepted = pl.concat(pieces)
    kept = accepted.unique(dataset.key, keep="last", maintain_order=True)
    findings.require(
        "I1",
        (len(kept), len(accepted) - len(kept))
        == (batch.processed["accepted"], batch.processed["deduplicated"]),
        batch.processed.name,
        f"the source gives {len(kept)} records and {len(accepted) - len(kept)} duplicates, the processor says "
        f"{batch.processed['accepted']} and {batch.processed['deduplicated']}",
    )
    yield kept


def _name_what_no_rule_accepts(
    dataset: Dataset, batch: Batch, indexes: list[int], source: SourceRecords, findings: Findings
) -> None:
    for index in indexes:
        try:
            why = complaint(dataset, parse(source[index]))
        except ValueError as error:
            why = f"it is no JSON: {error}"
        if why is not None:
            subject = f"{dataset.name} record {index} of {batch.run.run_id}"
            findings.add("I1", subject, f"it was accepted, though {why}")
