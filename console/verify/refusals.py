"""Which records were refused, by a batch's quarantines and its log of requests; each refusal is checked."""

import base64
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import polars as pl
import zstandard

from console.formatting import quantity
from console.verify.database import File, Result
from console.verify.expected import Batch, Expected, require_deduplicated
from console.verify.findings import Findings
from console.verify.source import SourceRecords, is_beyond, lost_field, parse, problem_of, rows_of
from console.verify.staging import Documents
from console.verify.transformed import lack_of, transformed_rows
from shared.datasets.model import Dataset
from shared.events import ids
from shared.transforms.apply import Transformer

CHUNK = 50_000
QUARANTINE = "quarantine.jsonl.zst"
REQUESTS = "requests.jsonl.zst"
GONE = "what was refused is swept, so the source's records are not compared"

Read = Callable[[str], Awaitable[bytes | None]]
"""The bytes of an object by its URI."""


class GoneError(Exception):
    """The evidence is no longer there, or cannot be read."""


async def learn(
    expected: Expected, loaded: dict[str, Result], documents: Documents, read: Read, findings: Findings
) -> None:
    """Reads the quarantines of every batch; without them the batch's source is not evidence any more.

    `loaded`: the loader's results by batch.
    """
    _require_as_many_records(expected, findings)
    for batch in expected.batches.values():
        if batch.source is not None and (lack := lack_of(batch.read_by, expected.transformer)):
            findings.note(lack, batch.processed.name)
            batch.source = None
        if batch.source is not None:
            try:
                await _learn_rejected(batch, batch.source, documents, read, findings)
            except GoneError:
                findings.note(GONE, batch.processed.name)
                batch.source = None
        result = loaded.get(batch.processed.batch_id)
        if result is not None and result["rejected"]:
            await _learn_unloaded(batch, result, read, findings)


def _require_as_many_records(expected: Expected, findings: Findings) -> None:
    """A source with fewer records than a run has taken from it is one violation, before those of its records."""
    totals: dict[tuple[str, str], Counter[str]] = {}
    sources: dict[tuple[str, str], SourceRecords] = {}
    for batch in expected.batches.values():
        if batch.source is not None:
            place = (batch.run.run_id, batch.processed.dataset)
            sources[place] = batch.source
            counts = totals.setdefault(place, Counter())
            counts["read"] += batch.processed["read"]
            counts["taken"] += batch.processed["read"] - batch.processed["rejected"]
    for (run_id, dataset), source in sources.items():
        counts = totals[run_id, dataset]
        findings.require(
            "I1",
            counts["taken"] <= len(source),
            source.name,
            f"it has {quantity(len(source), 'record')}, run {run_id} crawled {counts['read']:,} of {dataset}: "
            "is it the right file?",
        )


def rows_of_source(
    batch: Batch, source: SourceRecords, transformer: Transformer, findings: Findings
) -> Iterator[pl.DataFrame]:
    """The rows that the source gives for the batch, one per key, with their positions."""
    pieces = []
    unread = batch.rejected - set(batch.refused_after)
    dataset = batch.read_by
    lines = [line for line in range(batch.processed["read"]) if line not in unread]
    for start in range(0, len(lines), CHUNK):
        some = lines[start : start + CHUNK]
        places = [batch.source_index(line) for line in some]
        if places[-1] >= len(source):
            findings.add(
                "I1",
                batch.processed.name,
                f"it has a record {places[-1]}, the source ends before {len(source)}",
            )
            return
        try:
            records = [parse(source[place]) for place in places]
            frame = rows_of(dataset.as_read(), records)
        except (TypeError, ValueError, AttributeError, OverflowError, pl.exceptions.PolarsError):
            _name_what_no_rule_accepts(batch, places, source, findings)
            return
        _name_lost_fields(batch, places, records, findings)
        positions = pl.Series("_source_position", [batch.first_position + line for line in some], pl.Int64)
        pieces.append(frame.with_columns(positions))
    rows = pl.concat(pieces) if pieces else None
    if rows is not None and dataset.transform:
        rows = transformed_rows(batch, rows, transformer, findings)
        if rows is None:
            return
    accepted = 0 if rows is None else len(rows)
    unique = None if rows is None else rows.unique(dataset.key, keep="last", maintain_order=True)
    require_deduplicated(batch, 0 if unique is None else len(unique), accepted, findings)
    if unique is not None:
        yield unique


async def _learn_rejected(
    batch: Batch, source: SourceRecords, documents: Documents, read: Read, findings: Findings
) -> None:
    name = batch.processed.name
    lines = await _lines(batch.processed.files, QUARANTINE, read, name, findings)
    if batch.processed["rejected"] and not lines and not _names(batch.processed.files, QUARANTINE):
        raise GoneError
    places = [line["source_position"] - batch.first_position for line in lines]
    batch.rejected = frozenset(places)
    batch.gaps = await _gaps(batch, lines, documents, read, findings)
    findings.require(
        "I1",
        len(batch.rejected) == len(lines) == batch.processed["rejected"],
        name,
        f"{batch.processed['rejected']} records were rejected, {len(lines)} are in quarantine",
    )
    after = {}
    for place, line in zip(places, lines, strict=True):
        if not _check_refusal(batch, place, line, source, findings):
            after[place] = line["reason"]
    batch.refused_after = after


async def _gaps(
    batch: Batch, lines: list[dict[str, Any]], documents: Documents, read: Read, findings: Findings
) -> tuple[tuple[int, int], ...]:
    """A missing page is passed over; one that a refused line stands for has that line in its place."""
    if batch.page_size == 1:
        return ()
    stood_for = [
        (line["source_position"] - batch.first_position + 1, batch.page_size - 1)
        for line in lines
        if line["reason"] == "fetch"
    ]
    crawled = documents.manifests.get((batch.processed.batch_id, "crawler"))
    if stood_for or crawled is None or not crawled.result.missing:
        return tuple(stood_for)
    files = _log_files(batch, documents)
    if not _names(files, REQUESTS):
        raise GoneError
    log = await _lines(files, REQUESTS, read, batch.processed.name, findings)
    return tuple(
        (entry["place"], batch.page_size)
        for entry in log
        if entry.get("reason") == "fetch" and entry.get("rows") == 0
    )


def _log_files(batch: Batch, documents: Documents) -> tuple[File, ...]:
    """Of the run that crawled: a replay from a later stage has no log of its own."""
    processed = batch.processed
    for run_id in documents.origin(batch.run.run_id, processed.dataset):
        batch_id = ids.batch_id(run_id, processed.dataset, processed.sequence)
        found = documents.manifests.get((batch_id, "crawler"))
        if found is not None and _names(found.result.files, REQUESTS):
            return found.result.files
    return ()


async def _learn_unloaded(batch: Batch, result: Result, read: Read, findings: Findings) -> None:
    """PostgreSQL refused rows of the batch: those are in the loader's quarantine, and not in the table."""
    try:
        lines = await _lines(result.files, QUARANTINE, read, result.name, findings)
    except GoneError:
        batch.unloaded_unknown = result["rejected"]
        return
    if batch.processed["added"]:
        batch.unloaded_unknown = result["rejected"]  # a position is of several rows
        return
    batch.unloaded = frozenset(line["source_position"] for line in lines)
    findings.require(
        "I1",
        len(batch.unloaded) == len(lines) == result["rejected"],
        result.name,
        f"PostgreSQL refused {result['rejected']} rows, {len(lines)} are in quarantine",
    )


def _names(files: tuple[File, ...], form: str) -> bool:
    return any(file.format == form for file in files)


async def _lines(
    files: tuple[File, ...], form: str, read: Read, name: str, findings: Findings
) -> list[dict[str, Any]]:
    """Raises `GoneError`."""
    lines: list[dict[str, Any]] = []
    for file in files:
        if file.format != form:
            continue
        packed = await read(file.uri)
        if packed is None:
            raise GoneError
        try:
            with zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as reader:
                text = reader.read()
            lines += [json.loads(line) for line in text.split(b"\n") if line]
        except (zstandard.ZstdError, ValueError) as error:
            findings.add("I1", file.uri, f"the {form.partition('.')[0]} of {name} cannot be read: {error}")
            raise GoneError from error
    return lines


def _check_refusal(
    batch: Batch, place: int, line: dict[str, Any], source: SourceRecords, findings: Findings
) -> bool:
    """False: nothing is wrong with the record, so it is the transform's rows that were refused."""
    dataset: Dataset = batch.read_by.as_read()
    subject = batch.record(place)
    if line["reason"] == "fetch":
        findings.count("I1")
        return True
    index = batch.source_index(place)
    if not findings.require(
        "I1", index < len(source), subject, f"it is in quarantine, the source has {len(source)}"
    ):
        return True
    raw = line["raw"].encode() if "raw" in line else base64.b64decode(line.get("raw_base64", ""))
    record = source[index]
    if not same(raw, record, whole=line["reason"] != "too_large"):
        findings.add(
            "I1", subject, f"its raw text in quarantine is not the source's: {raw[:80]!r}, {record[:80]!r}"
        )
        return True
    try:
        value = parse(record)
    except ValueError:
        return True
    deserved = problem_of(dataset, value) is not None or is_beyond(dataset, value, line["reason"])
    if not deserved and batch.read_by.transform:
        return False
    findings.require(
        "I1", deserved, subject, f"it is refused ({line['reason']}), though nothing is wrong with it"
    )
    return True


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


def _name_lost_fields(batch: Batch, places: list[int], records: list[Any], findings: Findings) -> None:
    if batch.read_by.contract.new_columns == "ignore":
        return
    for place, record in zip(places, records, strict=True):
        lost = lost_field(batch.read_by, batch.form.dataset, record)
        if lost is not None:
            subject = f"{batch.read_by.name} record {place} of {batch.run.run_id}"
            findings.add("I1", subject, f"it was accepted, and its field {lost[:100]!r} is in no column")


def _name_what_no_rule_accepts(
    batch: Batch, places: list[int], source: SourceRecords, findings: Findings
) -> None:
    dataset = batch.read_by.as_read()
    for place in places:
        try:
            why = problem_of(dataset, parse(source[place]))
        except ValueError as error:
            why = f"it is not JSON: {error}"
        if why is not None:
            subject = f"{dataset.name} record {place} of {batch.run.run_id}"
            findings.add("I1", subject, f"it was accepted, though {why}")
