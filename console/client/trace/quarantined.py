"""Refused rows by the key in the line that was refused."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

from console.client.trace.budget import Budget
from console.client.trace.key import Key
from console.client.trace.ledger import RefusedFile
from console.client.trace.lines import downloaded, lines_of
from console.client.trace.model import Evidence, Origin, Refusal, Request
from console.client.trace.workers import run_workers
from console.client.untrusted_json import parse, parse_object
from shared.datasets.model import Dataset
from shared.errors import PermanentError
from shared.storage.object_store import ObjectStore

CONCURRENCY = 4

Matches = Callable[[Mapping[str, Any]], bool]
"""Whether a line of quarantine is the one that is looked for."""


@dataclass(frozen=True, slots=True)
class RefusedRow:
    origin: Origin
    refusal: Refusal
    evidence: Evidence


@dataclass
class RefusedRows:
    rows: list[RefusedRow] = field(default_factory=list)
    searched: int = 0
    left: int = 0
    unreadable: list[str] = field(default_factory=list)


def by_key(dataset: Dataset, key: Key) -> Matches:
    """A line whose record has the key's values, whatever their type: `5` and `"5"` are the same here.

    A key that a transform computes is in no record: nothing matches.
    """
    paths = {column.name: tuple(column.path) for column in dataset.columns if not column.computed}

    def matches(line: Mapping[str, Any]) -> bool:
        raw = line.get("raw")
        if not isinstance(raw, str) or not set(key.texts) <= set(paths):
            return False
        try:
            record = parse(raw)
        except ValueError:
            return False
        return all(_text(_value(record, paths[name])) == text for name, text in key.texts.items())

    return matches


def at_position(position: int) -> Matches:
    return lambda line: line.get("source_position") == position


async def search_quarantine(
    staging: ObjectStore, dataset: str, files: Sequence[RefusedFile], matches: Matches, budget: Budget
) -> RefusedRows:
    """Refused rows that match, file by file for as long as the budget lasts.

    Raises `StorageUnavailableError` in an outage. What is swept or damaged is named in the result.
    """
    found = RefusedRows()
    waiting = iter(files)

    async def work() -> None:
        for file in waiting:
            if not budget.take(file.bytes):
                found.left += 1
                continue
            try:
                async with downloaded(
                    staging, file.run_id, dataset, file.uri, file.bytes, file.sha256
                ) as local:
                    found.rows += await asyncio.to_thread(lambda: list(_rows(file, local, matches)))  # noqa: B023 - awaited at once
            except (PermanentError, zstandard.ZstdError) as error:
                found.unreadable.append(f"{file.uri}: {error}"[:500])
            found.searched += 1

    await run_workers(CONCURRENCY, work)
    return found


def _rows(file: RefusedFile, local: Path, matches: Matches) -> Iterator[RefusedRow]:
    for number, text in enumerate(lines_of(local), 1):
        line = parse_object(text)
        if not matches(line):
            continue
        position = line.get("source_position")
        url, raw = line.get("url"), line.get("raw", line.get("raw_base64"))
        request = Request(str(url), None, None, None, None, None) if url else None
        yield RefusedRow(
            Origin(
                file.requested_at, file.run_id, position if isinstance(position, int) else 0, file.batch_id
            ),
            Refusal(
                file.stage,
                str(line.get("reason") or "unknown"),
                str(line.get("detail") or ""),
                file.uri,
            ),
            Evidence(request, None if raw is None else str(raw), file.uri, number),
        )


def _value(record: Any, path: Sequence[str]) -> Any:
    for name in path:
        record = record.get(name) if isinstance(record, dict) else None
    return record


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None or isinstance(value, dict | list) else str(value)
