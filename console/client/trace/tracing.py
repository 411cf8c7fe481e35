"""Traces a row: by its key through the table, the lake and the quarantines, or by its place in a crawl."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from console.client.ledger import unknown_run
from console.client.trace.budget import lake_budget, quarantine_budget
from console.client.trace.evidence import EvidenceReader
from console.client.trace.key import Key, Place
from console.client.trace.lake import LakeRows, Progress, search_lake
from console.client.trace.ledger import StoredFile, TableRow, TraceLedger, exports_of
from console.client.trace.model import Origin, Row, Searched, State, Trace
from console.client.trace.quarantined import (
    Matches,
    RefusedRow,
    RefusedRows,
    at_position,
    by_key,
    search_quarantine,
)
from shared.datasets.model import Dataset
from shared.storage.object_store import ObjectStore

READERS = 4
"""Rows whose requests and raw lines are read at once."""


@dataclass(frozen=True, slots=True)
class Scope:
    """How far to look."""

    run_id: str | None = None
    """Only rows of this run; None: of all."""
    limit: int = 10
    """Rows that are shown, the newest first."""
    everything: bool = False
    """Whether to look through all of the lake and the quarantines, however long it takes."""


class Tracer:
    """Reads only. Raises `ClientError` for an unknown run, `StorageUnavailableError` and `LedgerUnavailableError` in an
    outage.
    """

    def __init__(
        self,
        dataset: Dataset,
        ledger: TraceLedger,
        staging: ObjectStore,
        lake: ObjectStore,
        *,
        progress: Progress = lambda _done, _of: None,
    ) -> None:
        self.dataset = dataset
        self._ledger = ledger
        self._staging = staging
        self._lake = lake
        self._progress = progress
        self._evidence = EvidenceReader(staging, ledger, dataset.name)

    async def by_key(self, key: Key, scope: Scope) -> Trace:
        """Every row with the key.

        Costs a look-up in the table, a footer of each object of the lake, and the refused rows of the latest batches.
        """
        await self._require_run(scope.run_id)
        current = await self._ledger.table_row(self.dataset, key)
        files = await self._lake_files(scope.run_id, None if current is None else current.origin.run_id)
        stored, refused = await asyncio.gather(
            self._stored(files, key.values, (), scope),
            self._refused(by_key(self.dataset, key), scope),
        )
        if scope.run_id is not None and current is not None and current.origin.run_id != scope.run_id:
            rows = _rows(current, stored, refused, is_current_shown=False)
        else:
            rows = _rows(current, stored, refused)
        return await self._trace(str(key), rows, stored, refused, scope)

    async def by_place(self, place: Place, scope: Scope) -> Trace:
        """What became of the record at a place of a run's crawl."""
        await self._require_run(place.run_id)
        scope = replace(scope, run_id=place.run_id)
        wanted: dict[str, pa.Scalar[Any]] = {
            "_run_id": pa.scalar(place.run_id),
            "_source_position": pa.scalar(place.position),
        }
        files = await self._lake_files(place.run_id, None)
        stored, refused = await asyncio.gather(
            self._stored(files, wanted, self.dataset.key, scope),
            self._refused(at_position(place.position), scope),
        )
        rows = [await self._row_of_place(origin, stored) for origin in stored.files]
        rows += [_refused_row(one) for one in refused.rows]
        if not rows and (left_out := await self._left_out(place)) is not None:
            rows.append(left_out)
        return await self._trace(str(place), rows, stored, refused, scope)

    async def _require_run(self, run_id: str | None) -> None:
        """Raises `ClientError` for a run that the ledger does not know."""
        if run_id is not None and not await self._ledger.runs([run_id]):
            raise unknown_run(run_id, ())

    async def _lake_files(self, run_id: str | None, likely: str | None) -> list[StoredFile]:
        """Those that may have the rows, the likely run's first."""
        files = await self._ledger.lake_files(self.dataset.name)
        files = [file for file in files if run_id is None or run_id in file.runs]
        return sorted(files, key=lambda file: likely not in file.runs)

    async def _stored(
        self,
        files: Sequence[StoredFile],
        wanted: Mapping[str, "pa.Scalar[Any]"],
        columns: Sequence[str],
        scope: Scope,
    ) -> LakeRows:
        budget = lake_budget(all_of_it=scope.everything)
        found = await search_lake(
            self._lake, self.dataset.name, files, wanted, columns, budget, self._progress
        )
        if scope.run_id is not None:
            for origin in [one for one in found.files if one.run_id != scope.run_id]:
                del found.files[origin]
        return found

    async def _refused(self, matches: Matches, scope: Scope) -> RefusedRows:
        budget = quarantine_budget(all_of_it=scope.everything)
        most = min(budget.pieces + 1, 2**31)
        files = await self._ledger.refused_files(self.dataset.name, scope.run_id, most)
        return await search_quarantine(self._staging, self.dataset.name, files, matches, budget)

    async def _row_of_place(self, origin: Origin, stored: LakeRows) -> Row:
        """With its state, by a look at the table for the row's key."""
        values = {name: pa.scalar(value) for name, value in stored.keys[origin].items()}
        key = Key({name: _text(value) for name, value in values.items()}, values)
        current = await self._ledger.table_row(self.dataset, key)
        loaded_at = current.loaded_at if current is not None and current.origin == origin else None
        return Row(_state(origin, current), origin, loaded_at, tuple(stored.files[origin]))

    async def _left_out(self, place: Place) -> Row | None:
        """The record, where the run has crawled it: it is in no file of a later stage."""
        batch = await self._evidence.batch_of(place.run_id, place.position)
        run = (await self._ledger.runs([place.run_id])).get(place.run_id)
        if batch is None or run is None:
            return None
        origin = Origin(run.requested_at, place.run_id, place.position, batch[0])
        known = (await self._ledger.batches([batch[0]])).get(batch[0])
        if known is None or (await self._evidence.read(known, place.position)).raw is None:
            return None
        return Row("left_out", origin)

    async def _trace(
        self, asked: str, rows: Sequence[Row], stored: LakeRows, refused: RefusedRows, scope: Scope
    ) -> Trace:
        newest = sorted(rows, key=lambda row: row.origin, reverse=True)
        shown = newest[: scope.limit]
        searched = Searched(
            stored.searched,
            stored.left,
            refused.searched,
            refused.left,
            tuple(stored.unreadable + refused.unreadable),
        )
        return Trace(
            self.dataset.name,
            f"public.{self.dataset.table}",
            asked,
            tuple(await self._completed(shown)),
            len(newest) - len(shown),
            searched,
        )

    async def _completed(self, rows: Sequence[Row]) -> list[Row]:
        """The rows with their batches, runs, exports and evidence."""
        run_ids = {row.origin.run_id for row in rows}
        batches = await self._ledger.batches({row.origin.batch_id for row in rows})
        runs = await self._ledger.runs(run_ids)
        combined = await self._ledger.combined_exports(run_ids, self.dataset.name)
        turns = asyncio.Semaphore(READERS)

        async def complete(row: Row) -> Row:
            batch = batches.get(row.origin.batch_id)
            evidence = row.evidence
            if batch is not None:
                async with turns:
                    found = await self._evidence.read(batch, row.origin.position)
                evidence = found if found.raw is not None else replace(found, raw=evidence.raw)
                evidence = evidence if evidence.request else replace(evidence, request=row.evidence.request)
            holds = batch is not None and row.state not in {"quarantined", "left_out"}
            return replace(
                row,
                batch=batch,
                run=runs.get(row.origin.run_id),
                exports=exports_of(batch, combined) if batch is not None and holds else (),
                evidence=evidence,
            )

        return list(await asyncio.gather(*map(complete, rows)))


def _rows(
    current: TableRow | None, stored: LakeRows, refused: RefusedRows, *, is_current_shown: bool = True
) -> list[Row]:
    rows = []
    if current is not None and is_current_shown:
        lake = tuple(stored.files.get(current.origin, ()))
        rows.append(Row("current", current.origin, current.loaded_at, lake))
    for origin, files in stored.files.items():
        if current is None or origin != current.origin:
            rows.append(Row(_state(origin, current), origin, None, tuple(files)))
    return rows + [_refused_row(one) for one in refused.rows]


def _state(origin: Origin, current: TableRow | None) -> State:
    if current is None:
        return "not_loaded"
    if origin == current.origin:
        return "current"
    return "superseded" if origin < current.origin else "not_loaded"


def _refused_row(row: RefusedRow) -> Row:
    return Row("quarantined", row.origin, evidence=row.evidence, refusal=row.refusal)


def _text(value: "pa.Scalar[Any]") -> str:
    found = value.as_py()
    if isinstance(found, bool):
        return "true" if found else "false"
    return found.isoformat() if hasattr(found, "isoformat") else str(found)
