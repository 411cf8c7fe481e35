"""Removes expired and orphaned objects from both buckets (docs/guarantees.md, C6).

Artifacts go; manifests, plans, dataset files and listings stay. What a run that goes on may need, and what a manifest, a
result or a listing names, is never touched; a superseded listing is a listing. Any number of sweeps may run at once.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import orjson

from shared.errors import PermanentError
from shared.events.decode import decode_event
from shared.events.models import BatchManifest, CrawlRequest
from shared.observability.logging import get_logger
from shared.stages.results import parse_stored
from shared.storage import keys
from shared.storage.object_store import ObjectInfo, ObjectStore
from shared.sweep.ports import RunIndex, Uploads
from shared.sweep.rules import (
    ArtifactKey,
    Kind,
    LakeKey,
    Limits,
    Run,
    SweepReport,
    artifact_key,
    combined_names,
    export_key,
    hour_of,
    is_compacted_key,
    is_expired,
    is_lake_object_safe,
    is_older,
    lake_key,
    listed_uris,
    may_be_orphaned,
)

PAGE = 1000
"""Objects looked at together: what S3 lists at a time."""

SUSPECTS = 5 * PAGE
"""Lake objects without a listing are checked against every listing, this many at a time."""

DELETES_AT_ONCE = 16

LakeKind = Literal["lake_objects", "replaced"]

log = get_logger()


@dataclass(frozen=True, slots=True)
class Removal:
    kind: Kind
    uri: str
    bytes: int


class Sweep:
    """One pass over both buckets. Memory is a page of objects and the file names of their runs.

    `run` raises `TransientError` in an outage: what is removed by then is removed, the next pass goes on.
    """

    def __init__(
        self,
        staging: ObjectStore,
        lake: ObjectStore,
        index: RunIndex,
        uploads: Uploads | None,
        *,
        limits: Limits | None = None,
        dry_run: bool = False,
        now: datetime | None = None,
        on_removal: Callable[[Removal], None] = lambda _: None,
    ) -> None:
        """`on_removal` is called for every object that is removed or, with `dry_run`, would be."""
        self._staging = staging
        self._lake = lake
        self._index = index
        self._uploads = uploads
        self._limits = limits or Limits()
        self._now = now or datetime.now(UTC)
        self._on_removal = on_removal
        self._report = SweepReport(dry_run)
        self._unknown: dict[str, Run] = {}
        self._suspected: dict[LakeKind, list[ObjectInfo]] = {"lake_objects": [], "replaced": []}

    async def run(self) -> SweepReport:
        async for page in _pages(self._staging.list("runs/")):
            await self._sweep_staging(page)
        async for page in _pages(self._lake.list("exports/")):
            await self._sweep_exports(page)
        for folder in await self._lake.folders():
            if folder not in {"exports", "cdc", "_runs", "_datasets"}:
                async for page in _pages(self._lake.list(f"{folder}/")):
                    await self._look_at_lake(page)
        for kind in ("replaced", "lake_objects"):
            await self._remove_unlisted(kind, self._suspected[kind])
        await self._sweep_uploads()
        return self._report

    async def _sweep_staging(self, page: Sequence[ObjectInfo]) -> None:
        """Artifacts past their TTL, and orphaned ones: what the ledger does not name is looked for in the manifests too."""
        found = [(info, place) for info in page if (place := artifact_key(info.key)) is not None]
        runs = await self._runs({info.key.split("/")[1] for info in page})
        expired: list[ObjectInfo] = []
        suspects: list[tuple[ObjectInfo, ArtifactKey]] = []
        for info, place in found:
            run = runs.get(place.run_id)
            if is_expired(run, info.last_modified, self._limits, self._now):
                expired.append(info)
            elif may_be_orphaned(run, info.last_modified, self._limits, self._now):
                suspects.append((info, place))
        named = await self._named({place.run_id for _, place in suspects})
        suspects = [(info, place) for info, place in suspects if self._staging.uri(info.key) not in named]
        orphaned = [
            info
            for place in dict.fromkeys(place for _, place in suspects)
            for info in await self._unnamed(place, [info for info, other in suspects if other == place])
        ]
        await self._remove("artifacts", self._staging, expired)
        await self._remove("losers", self._staging, orphaned)

    async def _sweep_exports(self, page: Sequence[ObjectInfo]) -> None:
        """Exports of ended and of unknown runs, which nothing names."""
        found = [(info, place) for info in page if (place := export_key(info.key)) is not None]
        old = [
            (info, place)
            for info, place in found
            if is_older(info.last_modified, self._limits.grace, self._now)
        ]
        run_ids = {place.run_id for _, place in old}
        runs = await self._runs(run_ids)
        named = await self._named(run_ids)
        suspects = [
            (info, place)
            for info, place in old
            if self._lake.uri(info.key) not in named
            and (place.run_id not in runs or runs[place.run_id].ended_at is not None)
        ]
        unnamed = await self._uncombined([info for info, place in suspects if place.is_combined])
        suspects = [(info, place) for info, place in suspects if not place.is_combined]
        for converted in dict.fromkeys(
            ArtifactKey(place.run_id, place.dataset, "converter") for _, place in suspects
        ):
            of_batch = [
                info
                for info, place in suspects
                if (place.run_id, place.dataset) == (converted.run_id, converted.dataset)
            ]
            unnamed += await self._unnamed(converted, of_batch, self._lake)
        await self._remove_unlisted("exports", unnamed)

    async def _uncombined(self, suspects: Sequence[ObjectInfo]) -> list[ObjectInfo]:
        """Those that the manifest of their folder does not name."""
        left: list[ObjectInfo] = []
        for folder in dict.fromkeys(info.key.rpartition("/")[0] for info in suspects):
            key = f"{folder}/manifest.json"
            text = await self._lake.get(key)
            try:
                names = () if text is None else combined_names(orjson.loads(text))
            except ValueError as error:
                self._add_problem(
                    f"{self._lake.uri(key)} cannot be read, so the files beside it stay: {error}"
                )
                continue
            here = [info for info in suspects if info.key.rpartition("/")[0] == folder]
            left += [info for info in here if info.key.rpartition("/")[2] not in names]
        return left

    async def _look_at_lake(self, page: Sequence[ObjectInfo]) -> None:
        found = [info for info in page if lake_key(info.key) is not None or is_compacted_key(info.key)]
        uris = [self._lake.uri(info.key) for info in found]
        replaced = (
            await self._index.replaced(uris, self._now - self._limits.lake_grace) if uris else frozenset()
        )
        self._suspected["replaced"] += [info for info in found if self._lake.uri(info.key) in replaced]
        others = [info for info in found if self._lake.uri(info.key) not in replaced]
        self._suspected["lake_objects"] += await self._suspects(others)
        self._suspected["lake_objects"] += await self._abandoned(others)
        for kind, suspects in self._suspected.items():
            if len(suspects) >= SUSPECTS:
                await self._remove_unlisted(kind, suspects)
                suspects.clear()

    async def _suspects(self, page: Sequence[ObjectInfo]) -> list[ObjectInfo]:
        """Lake objects that are old, that the ledger does not name, and that no run may still come to name."""
        old: list[tuple[ObjectInfo, LakeKey]] = [
            (info, place)
            for info in page
            if (place := lake_key(info.key)) is not None
            and is_older(info.last_modified, self._limits.grace, self._now)
        ]
        hours = {place.hour for _, place in old}
        if not hours:
            return []
        runs = [*await self._index.runs_of_hours(hours), *self._unknown.values()]
        named = await self._named({run.run_id for run in runs if hour_of(run.requested_at) in hours})
        return [
            info
            for info, place in old
            if self._lake.uri(info.key) not in named
            and not is_lake_object_safe(place, runs, self._limits, self._now)
        ]

    async def _abandoned(self, page: Sequence[ObjectInfo]) -> list[ObjectInfo]:
        """Old objects that a compaction put, and that none names or may be about to name."""
        old = [
            info
            for info in page
            if is_compacted_key(info.key) and is_older(info.last_modified, self._limits.grace, self._now)
        ]
        uris = [self._lake.uri(info.key) for info in old]
        named = await self._index.compacted(uris) if uris else frozenset()
        return [info for info in old if self._lake.uri(info.key) not in named]

    async def _sweep_uploads(self) -> None:
        if self._uploads is None:
            return
        # Read to the end first: aborting while the store lists could make it skip some.
        stale = [upload async for upload in self._uploads.open_before(self._now - self._limits.grace)]
        for upload in stale:
            if not self._report.dry_run:
                await self._uploads.abort(upload)
            self._count(Removal("uploads", f"s3://{upload.bucket}/{upload.key}", upload.bytes))

    async def _runs(self, run_ids: set[str]) -> Mapping[str, Run]:
        """What the ledger knows of them; a run with an accepted request that it does not know yet goes on."""
        runs = dict(await self._index.runs(run_ids)) if run_ids else {}
        for run_id in sorted(run_ids - set(runs)):
            if run_id not in self._unknown and (run := await self._requested(run_id)) is not None:
                self._unknown[run_id] = run
            if run_id in self._unknown:
                runs[run_id] = self._unknown[run_id]
        return runs

    async def _requested(self, run_id: str) -> Run | None:
        try:
            key = keys.request_key(run_id)
        except ValueError:
            return None
        found = await self._staging.get(key)
        if found is None:
            return None
        try:
            return Run(run_id, parse_stored(CrawlRequest, found, key).requested_at, ended_at=None)
        except PermanentError as error:
            self._add_problem(str(error))
            return None

    async def _named(self, run_ids: set[str]) -> frozenset[str]:
        return await self._index.files(run_ids) if run_ids else frozenset()

    async def _unnamed(
        self, place: ArtifactKey, suspects: Sequence[ObjectInfo], store: ObjectStore | None = None
    ) -> list[ObjectInfo]:
        """Those that no manifest of the stage names. Reads every manifest of it, so it is called last."""
        store = store or self._staging
        left = {store.uri(info.key): info for info in suspects}
        prefix = f"{keys.dataset_prefix(place.run_id, place.dataset)}{place.stage}/"
        async for page in _pages(self._staging.list(prefix)):
            manifests = [info.key for info in page if info.key.endswith(".json")]
            for start in range(0, len(manifests), DELETES_AT_ONCE):
                texts = await asyncio.gather(
                    *(self._staging.get(key) for key in manifests[start : start + DELETES_AT_ONCE])
                )
                for key, text in zip(manifests[start:], texts, strict=False):
                    try:
                        manifest = None if text is None else decode_event(BatchManifest, text)
                    except PermanentError as error:
                        self._add_problem(f"{key} cannot be read, so {len(left)} objects stay: {error}")
                        return []
                    for artifact in () if manifest is None else manifest.artifacts:
                        left.pop(artifact.uri, None)
        return list(left.values())

    async def _remove_unlisted(self, kind: Kind, suspects: Sequence[ObjectInfo]) -> None:
        """Removes from the lake what no listing names. Reads every listing, and only if there is a suspect."""
        left = {self._lake.uri(info.key): info for info in suspects}
        if not left:
            return
        for folder in ("_runs/", "_datasets/"):
            async for page in _pages(self._lake.list(folder)):
                for info in page:
                    text = await self._lake.get(info.key)
                    try:
                        uris = () if text is None else listed_uris(orjson.loads(text))
                    except ValueError as error:
                        self._add_problem(f"{info.key} cannot be read, so {len(left)} objects stay: {error}")
                        return
                    for uri in uris:
                        left.pop(uri, None)
        await self._remove(kind, self._lake, list(left.values()))

    async def _remove(self, kind: Kind, store: ObjectStore, objects: Sequence[ObjectInfo]) -> None:
        for start in range(0, len(objects), DELETES_AT_ONCE):
            some = objects[start : start + DELETES_AT_ONCE]
            if not self._report.dry_run:
                await asyncio.gather(*(store.delete(info.key) for info in some))
            for info in some:
                self._count(Removal(kind, store.uri(info.key), info.bytes))

    def _count(self, removal: Removal) -> None:
        tally = self._report.removed[removal.kind]
        tally.count += 1
        tally.bytes += removal.bytes
        self._on_removal(removal)

    def _add_problem(self, problem: str) -> None:
        log.warning("sweep_skipped", why=problem[:500])
        self._report.problems.append(problem[:500])


async def _pages(objects: AsyncIterator[ObjectInfo]) -> AsyncIterator[list[ObjectInfo]]:
    page: list[ObjectInfo] = []
    async for info in objects:
        page.append(info)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page
