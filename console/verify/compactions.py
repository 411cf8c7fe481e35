"""What compactions made of the lake: which files count, what they are named, and what the listings of datasets tell."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from console.verify.database import ENDED, AuditRows, Compaction, File
from console.verify.findings import Findings
from console.verify.staging import Documents
from shared.events import ids
from shared.storage.object_store import ObjectStore

Entry = tuple[str, int, int, str]


def entry_of(file: File) -> Entry:
    return file.uri, file.rows, file.bytes, file.sha256


@dataclass(slots=True)
class Compactions:
    """Of all runs."""

    all: list[Compaction]
    by_source: dict[str, Compaction] = field(init=False)
    """Those that count, by the URIs in whose place their objects are."""

    def __post_init__(self) -> None:
        self.by_source = {uri: one for one in self.all if one.counts for uri in one.sources}

    @property
    def current(self) -> list[tuple[Compaction, File]]:
        """Those whose object no later one replaced."""
        return [
            (one, one.file)
            for one in self.all
            if one.counts and one.file is not None and one.file.uri not in self.by_source
        ]

    @property
    def files(self) -> Iterable[str]:
        """The URI of every object that one made, also of those that are replaced."""
        return (one.file.uri for one in self.all if one.file is not None)

    def of_run(self, run_id: str) -> list[tuple[Compaction, File]]:
        return [(one, file) for one, file in self.current if run_id in one.runs]

    def latest_runs(self, dataset: str) -> frozenset[str]:
        """Runs of which superseded rows were left out."""
        return frozenset(
            run_id
            for one in self.all
            if one.counts and one.latest and one.dataset == dataset
            for run_id in one.runs
        )

    def may_be_gone(self, uri: str, now: datetime, grace: timedelta) -> bool:
        """Whether a sweep may have taken a file that was replaced."""
        by = self.by_source.get(uri)
        return by is not None and by.listed_at is not None and by.listed_at + grace <= now


def check_names(compactions: Compactions, lake: ObjectStore, findings: Findings) -> None:
    """The name of a compaction is derived from its sources, that of its object from that and from its bytes."""
    for one in compactions.all:
        subject = f"compaction {one.name} of {one.folder}"
        keys = sorted(uri.removeprefix(lake.uri("")) for uri in one.sources)
        kind = "latest" if one.latest else "all"
        derived = ids.derive("compaction", kind, one.dataset, *keys)
        findings.require("I9", derived == one.name, subject, f"its sources give the name {derived}")
        strays = [key for key in keys if key.rpartition("/")[0] != one.folder]
        findings.require("I9", not strays, subject, f"{strays[:1]} is not of its folder")
        if one.file is not None:
            uri = lake.uri(f"{one.folder}/c-{ids.derive(one.name, one.file.sha256)}.parquet")
            findings.require("I9", one.file.uri == uri, one.file.uri, f"it should be {uri}")


def check_states(compactions: Compactions, findings: Findings) -> None:
    for one in compactions.all:
        subject = f"compaction {one.name} of {one.folder}"
        what = (
            "a listing has yet to be written"
            if one.counts
            else "it was ended early: `onpoint lake compact` ends it"
        )
        findings.require("I5", one.state == "listed", subject, f"it is {one.state}; {what}")


def check_dataset_listings(
    compactions: Compactions, audit: AuditRows, documents: Documents, findings: Findings
) -> None:
    """Each names exactly the files that count, where all runs are looked at."""
    wanted: dict[str, set[Entry]] = {}
    for result in audit.results:
        run = audit.runs[result.run_id]
        if (result.stage, result.status) == ("s3sink", "done") and run.status in ENDED:
            wanted.setdefault(result.dataset, set()).update(
                entry_of(file) for file in result.files if file.uri not in compactions.by_source
            )
    for one, file in compactions.current:
        wanted.setdefault(one.dataset, set()).add(entry_of(file))
    for dataset, entries in sorted(wanted.items()):
        if not entries:
            continue
        subject = f"listing _datasets/{dataset}.json"
        found = documents.of_datasets.get(dataset)
        if not findings.require("I4", found is not None, subject, "it is not there") or found is None:
            continue
        named = [_entry(one) for one in found.get("objects", ())]
        findings.require("I4", len(named) == len(set(named)), subject, "it names an object twice")
        for entry in sorted(entries - set(named)):
            findings.add("I4", subject, f"it lacks {entry[0]}, or names other rows, bytes or digest for it")
        for entry in sorted(set(named) - entries):
            findings.add("I4", subject, f"it names {entry[0]}, which does not count")


def _entry(listed: dict[str, Any]) -> Entry:
    return listed["uri"], listed["rows"], listed["bytes"], listed["sha256"]
