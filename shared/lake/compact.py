"""Compaction: small files of a folder become one (docs/adr/0023).

`planned → written → committed → listed`, each step once and durable before the next. A call finishes what an earlier one
began: a plan without its object is made anew, an object that is written is committed, and listings that are behind are
written.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared import crashpoints
from shared.datasets.frozen import RunDatasets
from shared.datasets.model import Dataset
from shared.errors import ConfigurationError, PermanentError
from shared.lake.errors import DifferentColumnsError, SourceUnusableError
from shared.lake.latest import Choice, LatestRows
from shared.lake.listings import DatasetListings
from shared.lake.repository import CompactionRepository, CurrentFile, lake_files
from shared.lake.rewrite import SourceFile, merge_files
from shared.lake.rules import LakeFile, Plan, object_name, plan_compactions, plan_latest
from shared.lake.tables.errors import TableRefusedError
from shared.lake.tables.members import TableMembers, read_members
from shared.lake.tables.open import LakeTables
from shared.lake.tables.port import TableFile
from shared.observability.logging import get_logger
from shared.stages.scratch import hash_file, scratch_folder
from shared.storage import keys
from shared.storage.errors import ChecksumError, ObjectMissingError
from shared.storage.object_store import ObjectStore

DOWNLOADS = 8
"""Sources that are fetched at once: small files cost round trips, not bytes."""

log = get_logger()


@dataclass(slots=True)
class Report:
    """What a compaction did, or would do."""

    dry_run: bool
    compactions: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Why files were left as they are though they are small."""

    def as_dict(self) -> dict[str, Any]:
        total = {
            "compactions": len(self.compactions),
            "objects_before": sum(len(one["sources"]) for one in self.compactions),
            "bytes_before": sum(one["bytes_before"] for one in self.compactions),
            "bytes_after": None if self.dry_run else sum(one["bytes"] for one in self.compactions),
            "rows_left_out": None
            if self.dry_run
            else sum(one["rows_before"] - one["rows"] for one in self.compactions),
        }
        return {
            "dry_run": self.dry_run,
            "total": total,
            "compactions": self.compactions,
            "problems": self.problems,
        }


def _no_progress(_: Plan) -> None:
    """For callers that show none."""


class Compactor:
    """Raises `TransientError` in an outage: what is committed by then stays, the next call goes on."""

    def __init__(
        self,
        repository: CompactionRepository,
        listings: DatasetListings,
        lake: ObjectStore,
        datasets: RunDatasets,
        target_bytes: int,
        tables: LakeTables,
        *,
        dry_run: bool = False,
        on_plan: Callable[[Plan], None] = _no_progress,
    ) -> None:
        """`on_plan` is called before each compaction."""
        self._repository = repository
        self._listings = listings
        self._lake = lake
        self._datasets = datasets
        self._target_bytes = target_bytes
        self._tables = tables
        self._members = TableMembers()
        """Of the dataset that is compacted."""
        self._on_plan = on_plan
        self._report = Report(dry_run)

    async def run(self, datasets: Sequence[str], *, latest: bool = False) -> Report:
        """Compacts each of the datasets. What another process compacts meanwhile is left to it.

        `latest`: of rows with one key the newest stays. Every file of the datasets is read for that.
        """
        for dataset in datasets:
            async with self._repository.locked(dataset) as is_mine:
                if not is_mine:
                    self._add_problem(f"{dataset}: another process compacts it")
                    continue
                try:
                    if not self._report.dry_run:
                        await self._finish_earlier(dataset)
                    await (self._keep_latest(dataset) if latest else self._compact(dataset))
                except ConfigurationError as error:  # the driver of its table is not installed
                    self._add_problem(str(error))
                if not self._report.dry_run:
                    await self._listings.catch_up()
        return self._report

    async def _compact(self, dataset: str) -> None:
        current = await self._repository.current(dataset)
        await self._read_members(dataset)
        files = lake_files(self._lake, dataset, current)
        plans = [
            plan
            for group in self._groups(files)
            for plan in plan_compactions(dataset, group, self._target_bytes)
        ]
        await self._carry_out_all(plans, current, None)

    async def _read_members(self, dataset: str) -> None:
        """After the files that count were read: each of them is in its table by then."""
        self._members = await read_members(await self._tables.existing(dataset))

    def _groups(self, files: Sequence[LakeFile]) -> list[list[LakeFile]]:
        """Files that the same tables have."""
        groups = self._members.groups(file.uri for file in files)
        return [[file for file in files if file.uri in uris] for uris in groups.values()]

    async def _keep_latest(self, dataset: str) -> None:
        """Rows of runs that go on count for nothing yet: no listing has them."""
        current = [file for file in await self._repository.current(dataset) if file.is_settled]
        if not current:
            return
        await self._read_members(dataset)
        files = lake_files(self._lake, dataset, current)
        newest = max(run_id for file in current for run_id in file.runs)
        with scratch_folder() as folder:
            try:
                key = (await self._datasets.get(newest, dataset)).key
                with LatestRows(folder, key) as rows:
                    await self._read_keys(rows, files, folder)
                    superseded = await asyncio.to_thread(rows.settle)
                    plans = [
                        plan
                        for group in self._groups(files)
                        for plan in plan_latest(dataset, group, superseded, self._target_bytes)
                    ]
                    await self._carry_out_all(plans, current, rows)
            except PermanentError as error:
                self._add_problem(f"{dataset}: {error}")

    async def _read_keys(self, rows: LatestRows, files: Sequence[LakeFile], folder: Path) -> None:
        for file in files:
            source = await self._download(file, folder / "keys.parquet")
            await asyncio.to_thread(rows.add, file.key, source)

    async def _carry_out_all(
        self, plans: Sequence[Plan], current: Sequence[CurrentFile], rows: LatestRows | None
    ) -> None:
        """A plan whose files do not go together is carried out as several; one of bad files is left."""
        runs = {file.uri: file.runs for file in current}
        waiting = list(plans)
        while waiting:
            plan = waiting.pop(0)
            if self._report.dry_run:
                self._report.compactions.append(_entry(plan))
                continue
            try:
                await self._carry_out(plan, runs, rows)
            except DifferentColumnsError as error:
                groups = [tuple(plan.sources[place] for place in group) for group in error.groups]
                waiting += [replace(plan, sources=group) for group in groups if len(group) > 1 or plan.latest]
            except SourceUnusableError as error:
                self._add_problem(str(error))

    async def _finish_earlier(self, dataset: str) -> None:
        unfinished = await self._repository.unfinished(dataset)
        if unfinished:
            await self._read_members(dataset)
        for earlier in unfinished:
            if earlier.state == "written" and await self._is_there(earlier.uri, earlier.bytes):
                file = TableFile(earlier.uri or "", earlier.rows or 0, earlier.bytes or 0)
                at = earlier.written_at or datetime.now(UTC)
                try:
                    await self._replace_in_tables(
                        dataset, earlier.name, earlier.sources, file, at, latest=earlier.latest
                    )
                except TableRefusedError as error:
                    self._add_problem(str(error))
                    await self._repository.undo(earlier.name)
                    continue
                await self._repository.commit(earlier.name)
                log.info("compaction_finished", compaction=earlier.name, dataset=dataset)
            else:
                await self._repository.undo(earlier.name)

    async def _replace_in_tables(
        self,
        dataset: str,
        name: str,
        sources: Collection[str],
        file: TableFile,
        at: datetime,
        *,
        latest: bool,
    ) -> None:
        """Before the compaction counts: a source that a sweep may take is in no table."""
        if not any(self._members.kinds_of(uri) for uri in sources):
            return
        async with self._repository.table_locked(dataset):
            await self._members.replace(name, sources, file, at, is_reduced=latest)
        crashpoints.reach("lake.tabled")

    async def _is_there(self, uri: str | None, size: int | None) -> bool:
        found = None if uri is None else await self._lake.head(self._lake.key(uri, ""))
        return found is not None and found.bytes == size

    async def _carry_out(
        self, plan: Plan, runs_of: Mapping[str, Mapping[str, int]], rows: LatestRows | None
    ) -> None:
        self._on_plan(plan)
        runs = Counter[str]()
        for source in plan.sources:
            runs.update(runs_of[source.uri])
        dataset = await self._dataset(plan, runs)
        choice = None if rows is None else rows.choice([source.key for source in plan.sources])
        if not await self._repository.plan(plan):
            return
        crashpoints.reach("lake.planned")
        try:
            written = await self._write(plan, dataset, choice)
        except (DifferentColumnsError, SourceUnusableError, asyncio.CancelledError):
            await self._repository.undo(plan.name)
            raise
        if choice is not None:
            runs = Counter({run_id: choice.runs[run_id] for run_id in runs})
        at = await self._repository.written(plan.name, written, runs)
        if at is None:
            return
        crashpoints.reach("lake.written")
        try:
            file = TableFile(written.uri, written.rows, written.bytes)
            uris = [source.uri for source in plan.sources]
            await self._replace_in_tables(plan.dataset, plan.name, uris, file, at, latest=plan.latest)
        except TableRefusedError as error:
            await self._repository.undo(plan.name)
            raise SourceUnusableError(error.reason, str(error)) from error
        if await self._repository.commit(plan.name):
            crashpoints.reach("lake.committed")
            self._report.compactions.append(_entry(plan, written))
            log.info("compacted", dataset=plan.dataset, sources=len(plan.sources), bytes=written.bytes)

    async def _dataset(self, plan: Plan, runs: Mapping[str, int]) -> Dataset:
        """As the last of the runs, by name, was frozen with: it tells how columns are best written."""
        try:
            return await self._datasets.get(max(runs), plan.dataset)
        except PermanentError as error:
            raise SourceUnusableError(error.reason, f"{plan.folder}: {error}") from error

    async def _write(self, plan: Plan, dataset: Dataset, choice: Choice | None) -> LakeFile:
        """Puts the object. The same sources give the same bytes, and the name is derived from both."""
        with scratch_folder() as folder:
            sources = await self._fetch(plan, folder)
            file = folder / "object.parquet"
            rows = await asyncio.to_thread(merge_files, sources, file, dataset, choice)
            sha256, size = await asyncio.to_thread(hash_file, file)
            key = keys.compacted_key(plan.folder, object_name(plan.name, sha256))
            await self._lake.put(key, file)
            crashpoints.reach("lake.put")
        return LakeFile(key, self._lake.uri(key), rows, size, sha256)

    async def _fetch(self, plan: Plan, folder: Path) -> list[SourceFile]:
        """The sources in the plan's order, each as the database has it."""
        free = asyncio.Semaphore(DOWNLOADS)

        async def fetch(place: int, source: LakeFile) -> SourceFile:
            async with free:
                return await self._download(source, folder / f"{place}.parquet")

        fetching = (fetch(place, source) for place, source in enumerate(plan.sources))
        found = await asyncio.gather(*fetching, return_exceptions=True)
        for one in found:
            if isinstance(one, BaseException):
                raise one
        return [one for one in found if isinstance(one, SourceFile)]

    async def _download(self, file: LakeFile, path: Path) -> SourceFile:
        try:
            await self._lake.download(file.key, path, size=file.bytes, sha256=file.sha256)
        except (ObjectMissingError, ChecksumError) as error:
            raise SourceUnusableError(error.reason, str(error)) from error
        return SourceFile(file.uri, path, file.rows)

    def _add_problem(self, problem: str) -> None:
        log.warning("compaction_skipped", why=problem[:500])
        self._report.problems.append(problem[:500])


def _entry(plan: Plan, written: LakeFile | None = None) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "dataset": plan.dataset,
        "folder": plan.folder,
        "name": plan.name,
        "sources": [source.uri for source in plan.sources],
        "rows_before": plan.rows,
        "bytes_before": plan.bytes,
    }
    if written is not None:
        entry |= {"uri": written.uri, "rows": written.rows, "bytes": written.bytes, "sha256": written.sha256}
    return entry
