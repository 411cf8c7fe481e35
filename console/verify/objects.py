"""I3 and I9: the files. Named ones are there, whole and as their names promise; the others are young."""

import json
import re
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from console.verify.compactions import Compactions
from console.verify.database import AuditRows, File, LakeObject, Run
from console.verify.findings import Findings
from console.verify.staging import Documents
from shared.errors import PermanentError
from shared.events import ids
from shared.events.ids import DATASET_PATTERN
from shared.lake.tables.open import FOLDERS
from shared.storage import keys
from shared.storage.errors import ObjectMissingError
from shared.storage.object_store import ObjectStore
from shared.sweep.rules import LakeKey, combined_names, hour_of, lake_key

EXPORT_HASH_CHARS = 16
"""Of the digest, in the name of an export."""

OF_TABLES = [[folder] for folder in FOLDERS.values()]
"""Of a dataset, where a table of Delta Lake or Iceberg has its own files."""

_COLUMNS = re.compile(rf"schemas/{DATASET_PATTERN}/[0-9]{{6,}}\.json")

Visit = Callable[[Path], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Named:
    """A file, and who names it."""

    file: File
    run: Run
    dataset: str
    stage: str
    sharing: tuple[Run, ...] = ()
    """Of an object that a compaction made: the runs that have rows in it."""


@dataclass(slots=True)
class Objects:
    """Both buckets. Artifacts may be swept `ttl` after their run's end; what nothing names may be as old as `grace`."""

    staging: ObjectStore
    lake: ObjectStore
    findings: Findings
    ttl: timedelta
    grace: timedelta
    lake_grace: timedelta
    now: datetime
    swept: set[str]
    """Runs whose artifacts were swept before their time."""
    compactions: Compactions

    def __init__(
        self,
        staging: ObjectStore,
        lake: ObjectStore,
        findings: Findings,
        *,
        ttl: timedelta,
        grace: timedelta,
        lake_grace: timedelta,
    ) -> None:
        self.staging, self.lake, self.findings = staging, lake, findings
        self.ttl, self.grace, self.lake_grace = ttl, grace, lake_grace
        self.now, self.swept, self.compactions = datetime.now(UTC), set(), Compactions([])

    async def read(self, uri: str) -> bytes | None:
        """None for what is gone, or in neither bucket. Memory is the object."""
        store = self._store(uri)
        return None if store is None else await store.get(store.key(uri, ""))

    async def check_file(self, named: Named, visit: Visit | None = None) -> None:
        """Downloads the file, so memory is a chunk of it; `visit` may look at it."""
        file, findings = named.file, self.findings
        store = self._store(file.uri)
        if store is None:
            findings.add("I3", file.uri, f"{named.run.run_id} names it, and it is in none of our buckets")
            return
        with tempfile.TemporaryDirectory(prefix="onpoint-verify-") as folder:
            target = Path(folder) / "object"
            found = await self._download(store, named, target)
            if found:
                if file.format == "parquet":
                    self._check_footer(file, target)
                if visit is not None:
                    await visit(target)

    def check_name(self, named: Named) -> None:
        """The name of an artifact contains the digest of its bytes."""
        file, run, dataset, stage = named.file, named.run.run_id, named.dataset, named.stage
        match stage:
            case "converter":
                label = file.format.partition(".")[0]
                name = file.uri.rpartition("/")[2].removesuffix(f".{file.format}")
                key_of = keys.combined_key if _is_combined(file.uri) else keys.export_key
                derived = self.lake.uri(key_of(run, dataset, label, name, file.format))
                right = file.uri == derived and name.rpartition("-")[2] == file.sha256[:EXPORT_HASH_CHARS]
            case "s3sink":
                return  # named by its batches
            case _:
                key = keys.artifact_key(run, dataset, stage, file.sha256, file.format)
                right = file.uri == self.staging.uri(key)
        self.findings.require(
            "I9", right, file.uri, f"its name is not derived from {run}, {dataset}, {stage} and its bytes"
        )

    def check_lake_name(self, entry: LakeObject) -> None:
        """The name of a lake object is derived from its batches, and its place from its name."""
        derived = ids.derive(entry.run_id, entry.dataset, *entry.batch_ids)
        subject = f"lake object {entry.object_name} of {entry.run_id}/{entry.dataset}"
        self.findings.require(
            "I9", derived == entry.object_name, subject, f"its batches give the name {derived}"
        )
        for file in entry.files:
            self._check_lake_place(entry, file)

    def _check_lake_place(self, entry: LakeObject, file: File) -> None:
        """At the hour of its run, or with that hour in its name in a folder of the dataset's own partitions."""
        derived = self.lake.uri(keys.lake_key(entry.dataset, entry.requested_at, entry.object_name))
        own = keys.partitioned_lake_key(entry.dataset, entry.requested_at, entry.object_name, "x").rpartition(
            "/"
        )[2]
        folder, _, name = file.uri.rpartition("/")
        is_partitioned = folder.startswith(self.lake.uri(f"{entry.dataset}/")) and name == own
        self.findings.require(
            "I9", file.uri == derived or is_partitioned, file.uri, f"it should be {derived}"
        )

    async def check_orphans(self, audit: AuditRows, documents: Documents, named: Iterable[str]) -> None:
        """`named`: every URI that any result of any run names."""
        known = {*named, *self._permanent(audit, documents), *self.compactions.files}
        for listing in documents.listings.values():
            for _, file in listed(listing):
                known.add(file.uri)
        for store in (self.staging, self.lake):
            async for info in store.list(""):
                uri = store.uri(info.key)
                if store is self.lake and _is_combined(uri):
                    known |= await self._combined_beside(info.key, known)
                if uri in known or self._is_of_others(store, info.key, audit):
                    self.findings.count("I3")
                    continue
                age = self.now - info.last_modified
                self.findings.require(
                    "I3",
                    age < self.grace or (store is self.lake and self._may_be_written_anew(info.key, audit)),
                    uri,
                    f"nothing names it, and it is {age.total_seconds():.0f} s old",
                )

    async def _combined_beside(self, key: str, known: set[str]) -> set[str]:
        """A folder's manifest and what it names, for a file that is not known: the ledger may not have it."""
        folder = key.rpartition("/")[0]
        manifest = f"{folder}/manifest.json"
        if self.lake.uri(key) in known or (text := await self.lake.get(manifest)) is None:
            return set()
        try:
            names = combined_names(json.loads(text))
        except ValueError as error:
            self.findings.add("I3", self.lake.uri(manifest), f"it cannot be read: {error}")
            names = ()
        return {self.lake.uri(manifest), *(self.lake.uri(f"{folder}/{name}") for name in names)}

    def _permanent(self, audit: AuditRows, documents: Documents) -> Iterable[str]:
        """The URIs of the runs' requests, marks, plans, listings and manifests, and of what the manifests name."""
        for run in audit.runs.values():
            yield self.staging.uri(keys.request_key(run.run_id))
            yield self.staging.uri(keys.cancel_key(run.run_id))
            yield self.lake.uri(keys.listing_key(run.run_id))
            for dataset in run.datasets:
                yield self.lake.uri(keys.dataset_listing_key(dataset))
            for dataset in {*run.planned, *run.datasets}:
                yield self.staging.uri(keys.plan_key(run.run_id, dataset))
                yield self.staging.uri(keys.dataset_key(run.run_id, dataset))
        for (run_id, dataset), plan in documents.plans.items():
            for piece in plan.get("pieces") or ():
                yield self.staging.uri(keys.plan_piece_key(run_id, dataset, str(piece["sha256"])))
        for manifest in documents.manifests.values():
            yield self.staging.uri(manifest.key)
            for file in manifest.result.files:
                yield file.uri

    def _may_be_written_anew(self, key: str, audit: AuditRows) -> bool:
        """Whether a sweep leaves a lake object alone: a dead batch of its hour and dataset can still be replayed."""
        dead = {
            (r.run_id, r.dataset)
            for r in audit.results
            if r.status == "dead" and r.stage not in {"converter", "loader"}
        }
        place, folder = lake_key(key), key.rpartition("/")[0]
        if any(one.state == "planned" and one.folder == folder for one in self.compactions.all):
            return True
        for run_id, dataset in dead if place is not None else ():
            run = audit.runs[run_id]
            is_its_place = place == LakeKey(dataset, hour_of(run.requested_at))
            if is_its_place and run.finished_at and run.finished_at + self.ttl > self.now:
                return True
        return False

    def _is_of_others(self, store: ObjectStore, key: str, audit: AuditRows) -> bool:
        """Of a run that is not looked at, a version of columns, change data, or a table's own."""
        parts = key.split("/")
        if store is self.staging and _COLUMNS.fullmatch(key):
            return True  # of a dataset, and of no run
        if store is self.lake and (parts[0] == "cdc" or parts[1:2] in OF_TABLES):
            return True
        if store is self.staging or parts[0] == "exports":
            return len(parts) > 1 and parts[1] in audit.others
        if parts[0] == "_runs":
            return parts[-1].removesuffix(".json") in audit.others
        return not audit.everything  # neither a lake object's key nor a dataset's listing contains a run

    async def _download(self, store: ObjectStore, named: Named, target: Path) -> bool:
        file = named.file
        may_be_gone = self._may_be_swept(named) or named.run.run_id in self.swept
        is_replaced = self.compactions.may_be_gone(named.file.uri, self.now, self.lake_grace)
        may_be_gone = may_be_gone or is_replaced
        try:
            await _fetch(store, file, target, may_be_gone=may_be_gone)
        except ObjectMissingError:
            if is_replaced:
                self.findings.count("I3")
            elif may_be_gone:
                self.findings.note("artifacts are swept, so it cannot be replayed any more", named.run.run_id)
            else:
                self.findings.require(
                    "I3", holds=False, subject=file.uri, message=f"{named.stage} names it, and it is gone"
                )
            return False
        except PermanentError as error:
            self.findings.require(
                "I3", holds=False, subject=file.uri, message=str(error).removeprefix(f"{file.uri}: ")
            )
            return True  # the part that arrived may have more violations
        self.findings.count("I3")
        return True

    def note_sweeps(self, audit: AuditRows, documents: Documents) -> None:
        """Finds the runs that were swept before their time: no artifact of their results is in staging.

        A sweep takes all artifacts of a run. What a replayed dead letter wrote since stays for a time of its own, and
        of a dead batch nothing is needed, so neither shows whether a run was swept.
        """
        redriven = {result.batch_id for result in audit.results if result.is_redriven}
        unswept: set[str] = set()
        for result in audit.results:
            if result.status == "done" and result.batch_id not in redriven:
                unswept |= {result.run_id for file in result.files if file.uri in documents.present}
        self.swept = {run.run_id for run in audit.runs.values() if run.finished_at is not None} - unswept

    def _may_be_swept(self, named: Named) -> bool:
        ended = named.run.finished_at
        return (
            named.file.uri.startswith(self.staging.uri("runs/"))
            and ended is not None
            and ended + self.ttl <= self.now
        )

    def _check_footer(self, file: File, target: Path) -> None:
        try:
            rows = pq.read_metadata(target).num_rows
        except (pa.ArrowInvalid, OSError) as error:
            self.findings.add("I3", file.uri, f"it is not Parquet: {error}"[:300])
            return
        self.findings.require(
            "I3", rows == file.rows, file.uri, f"it has {rows} rows, the ledger has {file.rows}"
        )

    def _store(self, uri: str) -> ObjectStore | None:
        return next((store for store in (self.staging, self.lake) if uri.startswith(store.uri(""))), None)


def named_files(audit: AuditRows, documents: Documents, compactions: Compactions) -> list[Named]:
    """Every file that a result or a manifest of the runs names, once. A digest that differs is another file."""
    found: dict[tuple[str, str], Named] = {}
    for result in [*audit.results, *(manifest.result for manifest in documents.manifests.values())]:
        run = audit.runs.get(result.run_id)
        for file in result.files if run is not None else ():
            assert run is not None  # noqa: S101 - as just asked
            found.setdefault((file.uri, file.sha256), Named(file, run, result.dataset, result.stage))
    for one, file in compactions.current:
        if sharing := tuple(audit.runs[run_id] for run_id in one.runs if run_id in audit.runs):
            found[file.uri, file.sha256] = Named(file, sharing[0], one.dataset, "s3sink", sharing)
    for run_id, listing in documents.listings.items():
        for dataset, file in listed(listing):
            stage = "converter" if file.uri.split("/")[3:4] == ["exports"] else "s3sink"
            found.setdefault((file.uri, file.sha256), Named(file, audit.runs[run_id], dataset, stage))
    return list(found.values())


def listed(listing: Mapping[str, object]) -> list[tuple[str, File]]:
    """The files of a listing, with their dataset."""
    found = []
    datasets = listing.get("datasets")
    for dataset, entry in datasets.items() if isinstance(datasets, dict) else ():
        for kind in ("objects", "exports", "combined"):
            for file in entry.get(kind, ()):
                name = file["uri"].rpartition("/")[2]
                form = "parquet" if kind == "objects" else name.partition(".")[2]
                found.append((dataset, File(file["uri"], form, file["rows"], file["bytes"], file["sha256"])))
    return found


def _is_combined(uri: str) -> bool:
    return "/exports/" in uri and uri.split("/")[-2:-1] == ["combined"]


def check_batch_ids(audit: AuditRows, findings: Findings) -> None:
    """A batch's id is derived from its run, its dataset and its sequence."""
    for result in audit.results:
        derived = ids.batch_id(result.run_id, result.dataset, result.sequence)
        findings.require("I9", result.batch_id == derived, result.name, f"its id should be {derived}")


async def _fetch(store: ObjectStore, file: File, target: Path, *, may_be_gone: bool) -> None:
    """As `ObjectStore.download`, which tries a missing object again; one that may be gone is looked for once."""
    key = store.key(file.uri, "")
    if may_be_gone and await store.head(key) is None:
        raise ObjectMissingError(file.uri)
    await store.download(key, target, size=file.bytes, sha256=file.sha256)
