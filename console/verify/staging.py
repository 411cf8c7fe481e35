"""What is in the object stores of the runs: manifests, plans and listings, read once."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from console.verify.database import COUNTS, AuditRows, File, Result
from console.verify.findings import Findings
from shared.datasets.chain import ColumnsChain
from shared.datasets.model import Dataset
from shared.datasets.versions import FILE, ColumnsVersion, columns_at
from shared.errors import PermanentError
from shared.events.models import BatchManifest
from shared.events.topology import Stage
from shared.storage import keys
from shared.storage.object_store import ObjectStore

AT_ONCE = 16
FROZEN = "dataset.json"
MOST_REPLAYS = 50
"""Of replays, one of the other, that are followed."""
STAGES: tuple[Stage, ...] = ("crawler", "processor", "converter")
"""Whose results are manifests in staging."""


@dataclass(frozen=True, slots=True)
class Manifest:
    key: str
    result: Result
    first_position: int
    columns_version: int = 1


@dataclass(slots=True)
class Documents:
    """Documents that exist and can be read; the others have no entry."""

    manifests: dict[tuple[str, str], Manifest] = field(default_factory=dict)
    """By batch id and stage."""
    plans: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """By run and dataset."""
    frozen: dict[tuple[str, str], Dataset] = field(default_factory=dict)
    """By run and dataset: the dataset's file as it was when the run was accepted."""
    columns: dict[str, list[ColumnsVersion]] = field(default_factory=dict)
    """By dataset: the versions of its columns beyond its file."""
    listings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By run."""
    of_datasets: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Listings, by dataset."""
    present: set[str] = field(default_factory=set)
    """The URI of everything in staging of the runs."""

    def columns_at(self, dataset: Dataset, version: int) -> Dataset:
        """The dataset of a file with the columns of a version, as far as it can be read."""
        versions = self.columns.get(dataset.name, [])[: version - FILE]
        return columns_at(dataset, versions[-1] if versions else None)

    def newest(self, dataset: Dataset) -> Dataset:
        """With the columns that its table has by now."""
        versions = self.columns.get(dataset.name)
        return columns_at(dataset, versions[-1] if versions else None, in_table=True)

    def origin(self, run_id: str, dataset: str) -> list[str]:
        """The run, the run that it replays, and so on; the last one crawled, as far as is known."""
        found = [run_id]
        while len(found) <= MOST_REPLAYS:
            replayed = self.plans.get((found[-1], dataset), {}).get("replay")
            if not isinstance(replayed, dict) or replayed.get("run_id") in found:
                break
            found.append(str(replayed.get("run_id")))
        return found

    def page_size(self, run_id: str, dataset: str) -> int:
        """Records of a full page when the source was crawled; 1 where it was not crawled by pages."""
        plan = self.plans.get((self.origin(run_id, dataset)[-1], dataset), {})
        return max(1, plan.get("page_size") or 1)


async def read_documents(
    staging: ObjectStore, lake: ObjectStore, audit: AuditRows, findings: Findings
) -> Documents:
    """Of the runs that are checked. What cannot be read is a violation of I2."""
    found = Documents()
    wanted: list[tuple[ObjectStore, str, tuple[Any, ...]]] = []
    for run in audit.runs.values():
        wanted.append((lake, keys.listing_key(run.run_id), ("listing", run.run_id)))
        for dataset in sorted({*run.planned, *run.datasets}):
            prefix = keys.dataset_prefix(run.run_id, dataset)
            async for info in staging.list(prefix):
                found.present.add(staging.uri(info.key))
                if (what := _kind(info.key.removeprefix(prefix), run.run_id, dataset)) is not None:
                    wanted.append((staging, info.key, what))
    for dataset in sorted({name for run in audit.runs.values() for name in (*run.planned, *run.datasets)}):
        try:
            found.columns[dataset] = await ColumnsChain(staging).all(dataset)
        except PermanentError as error:
            findings.add("I2", f"the columns of {dataset}", f"a version cannot be read: {error}"[:300])
    datasets = sorted({name for run in audit.runs.values() for name in {*run.planned, *run.datasets}})
    wanted += [(lake, keys.dataset_listing_key(name), ("of_dataset", name)) for name in datasets]
    for some in _pieces(wanted):
        texts = await asyncio.gather(*(store.get(key) for store, key, _ in some))
        for (store, key, what), text in zip(some, texts, strict=True):
            if text is not None:
                _keep(found, store.uri(key), key, what, text, findings)
    return found


def _kind(name: str, run_id: str, dataset: str) -> tuple[Any, ...] | None:
    """What a document of the dataset's folder is; None for an artifact, and for what is not known here."""
    match name.split("/"):
        case ["plan.json"]:
            return "plan", run_id, dataset
        case [document] if document == FROZEN:
            return "frozen", run_id, dataset
        case [stage, document] if stage in STAGES and document.endswith(".json"):
            return "manifest", stage
        case _:
            return None


def _keep(found: Documents, uri: str, key: str, what: Sequence[Any], text: bytes, findings: Findings) -> None:
    try:
        match what:
            case ("listing", run_id):
                found.listings[run_id] = _object(text)
            case ("of_dataset", dataset):
                found.of_datasets[dataset] = _object(text)
            case ("plan", run_id, dataset):
                found.plans[run_id, dataset] = _object(text)
            case ("frozen", run_id, dataset):
                _keep_frozen(found, run_id, dataset, text, findings)
            case (_, stage):
                manifest = BatchManifest.model_validate_json(text)
                result = _result(manifest)
                findings.require(
                    "I2",
                    (stage, key.rpartition("/")[2]) == (result.stage, f"{result.batch_id}.json"),
                    uri,
                    f"it has the result of {result.name}",
                )
                found.manifests[result.batch_id, result.stage] = Manifest(
                    key, result, manifest.first_position, manifest.columns_version
                )
    except (ValidationError, ValueError) as error:
        findings.add("I2", uri, f"it cannot be read: {str(error)[:300]}")


def _keep_frozen(found: Documents, run_id: str, dataset: str, text: bytes, findings: Findings) -> None:
    """Another version of the product may have written what today's model does not know: then today's file counts."""
    try:
        found.frozen[run_id, dataset] = Dataset.model_validate_json(text)
    except ValidationError:
        findings.note(
            "the dataset's file of that time is written in another way, so today's is taken",
            f"{run_id}/{dataset}",
        )


def _result(manifest: BatchManifest) -> Result:
    counts = manifest.counts
    return Result(
        manifest.run_id, manifest.dataset, manifest.sequence, manifest.batch_id, manifest.stage, manifest.status,
        manifest.reason, tuple(getattr(counts, name) for name in COUNTS),
        tuple(File(a.uri, a.format, a.rows, a.bytes, a.sha256) for a in manifest.artifacts),
        len(manifest.missing), promised=manifest.promised, repeated=manifest.repeated,
        rejected_by_reason=manifest.rejected_by_reason, absent=manifest.absent,
    )  # fmt: skip


def _object(text: bytes) -> dict[str, Any]:
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - the text is wrong, not an argument
    return document


def _pieces(items: list[Any]) -> Iterable[list[Any]]:
    return (items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE))
