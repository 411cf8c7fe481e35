"""The request and the raw line of a record, from what staging still has."""

import asyncio
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import zstandard

from console.client.trace.ledger import TraceLedger
from console.client.trace.lines import downloaded, line_at, lines_of
from console.client.trace.model import Batch, Evidence, Request
from console.client.untrusted_json import parse_object
from shared.errors import PermanentError
from shared.events import ids
from shared.events.decode import decode_event
from shared.events.models import Artifact, BatchManifest
from shared.storage import keys
from shared.storage.object_store import ObjectStore

RAW, REQUESTS = "jsonl.zst", "requests.jsonl.zst"

MAX_REPLAYS = 20
"""Runs that replay one another, followed back."""

MAX_RAW_BYTES = 2**20
"""Of a line that is shown."""

SWEPT = "staging was swept after the run had ended (ONPOINT_STAGING_TTL_HOURS)"


class CrawledBatch(NamedTuple):
    """A batch where it was crawled, and its place in that run's crawl."""

    run_id: str
    manifest: BatchManifest


class EvidenceReader:
    """Every method raises `StorageUnavailableError` in an outage."""

    def __init__(self, staging: ObjectStore, ledger: TraceLedger, dataset: str) -> None:
        self._staging = staging
        self._ledger = ledger
        self._dataset = dataset

    async def manifest(self, run_id: str, batch_id: str) -> BatchManifest | None:
        """What the crawler made of a batch; None where staging has nothing of it that can be read."""
        found = await self._staging.get(keys.manifest_key(run_id, self._dataset, "crawler", batch_id))
        try:
            return None if found is None else decode_event(BatchManifest, found)
        except PermanentError:
            return None

    async def batch_of(self, run_id: str, position: int) -> tuple[str, int] | None:
        """Id and sequence of the batch with the record at a position; one small object for each halving of the run."""
        batches = await self._ledger.crawled_batches(run_id, self._dataset)
        first, end = 0, len(batches)
        while end - first > 1:
            middle = (first + end) // 2
            manifest = await self.manifest(run_id, batches[middle][0])
            if manifest is None or manifest.first_position > position:
                end = middle
            else:
                first = middle
        return batches[first] if batches else None

    async def read(self, batch: Batch, position: int) -> Evidence:
        """What is left of the record at a position of a batch."""
        crawled = await self._crawled(batch)
        if crawled is None:
            return Evidence(gone=f"what was crawled is no longer stored: {SWEPT}")
        run_id, manifest = crawled
        evidence = Evidence(crawled_by=run_id, code_version=manifest.code_version)
        place = position - manifest.first_position
        raw = _of_format(manifest, RAW)
        if raw is not None:
            evidence = replace(evidence, raw_uri=raw.uri, line=place + 1)
        try:
            request = await self._request(run_id, manifest, place)
            text = await self._line(run_id, raw, place)
        except (PermanentError, zstandard.ZstdError):
            return replace(evidence, gone=f"the raw records are no longer stored, or damaged: {SWEPT}")
        return replace(evidence, request=request, raw=text)

    async def _crawled(self, batch: Batch) -> CrawledBatch | None:
        """The batch in the run that made its requests: a replay from a later stage has none of its own."""
        run_id = batch.run_id
        for _ in range(MAX_REPLAYS):
            manifest = await self.manifest(run_id, ids.batch_id(run_id, self._dataset, batch.sequence))
            if manifest is not None and _of_format(manifest, REQUESTS) is not None:
                return CrawledBatch(run_id, manifest)
            run = (await self._ledger.runs([run_id])).get(run_id)
            if run is None or run.replay_of is None:
                return None
            run_id = run.replay_of
        return None

    async def _request(self, run_id: str, manifest: BatchManifest, place: int) -> Request | None:
        log = _of_format(manifest, REQUESTS)
        if log is None:
            return None
        async with downloaded(self._staging, run_id, self._dataset, log.uri, log.bytes, log.sha256) as local:
            return await asyncio.to_thread(find_request, local, place)

    async def _line(self, run_id: str, raw: Artifact | None, place: int) -> str | None:
        if raw is None or place < 0:
            return None
        async with downloaded(self._staging, run_id, self._dataset, raw.uri, raw.bytes, raw.sha256) as local:
            line = await asyncio.to_thread(line_at, local, place)
        return None if line is None else line[:MAX_RAW_BYTES].decode("utf-8", "backslashreplace")


def find_request(log: Path, place: int) -> Request | None:
    """The request that brought the record at a place of its batch. Raises `ZstdError` for a damaged log."""
    entries = [entry for entry in map(parse_object, lines_of(log)) if _number(entry, "rows") > 0]
    entries.sort(key=lambda entry: _number(entry, "place"))
    at = bisect_right([_number(entry, "place") for entry in entries], place) - 1
    if at < 0 or place >= _number(entries[at], "place") + _number(entries[at], "rows"):
        return None
    return _request(entries[at])


def _request(entry: Mapping[str, Any]) -> Request:
    return Request(
        url=str(entry.get("url") or ""),
        status=_whole(entry.get("status")),
        fetched_at=_text(entry.get("fetched_at")),
        etag=_text(entry.get("etag")),
        answered_url=_text(entry.get("answered_url")),
        detail=_text(entry.get("detail")),
        took_ms=_whole(entry.get("took_ms")),
        tries=_whole(entry.get("tries")),
    )


def _of_format(manifest: BatchManifest, name: str) -> Artifact | None:
    found: Sequence[Artifact] = [each for each in manifest.artifacts if each.format == name]
    return found[0] if found else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _number(entry: Mapping[str, Any], name: str) -> int:
    value = entry.get(name)
    return value if isinstance(value, int) else 0


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
