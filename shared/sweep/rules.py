"""Which objects a sweep removes. Pure: decides by keys, times and the ledger's runs. A doubtful object stays."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from shared.events.ids import DATASET_PATTERN, RUN_ID_PATTERN, SHA256_PATTERN
from shared.events.topology import STAGES

Kind = Literal["artifacts", "losers", "uploads", "lake_objects", "replaced", "exports"]
KINDS: tuple[Kind, ...] = ("artifacts", "losers", "uploads", "lake_objects", "replaced", "exports")
"""Artifacts past their TTL; artifacts that no manifest names; uploads left open; lake objects that nothing names, those
that a compaction replaced; exports that nothing names."""

_STAGE = f"(?P<stage>{'|'.join(STAGES)})"
_ARTIFACT = re.compile(
    rf"runs/(?P<run_id>{RUN_ID_PATTERN})/(?P<dataset>{DATASET_PATTERN})/{_STAGE}/{SHA256_PATTERN}\.[a-z0-9.]{{1,32}}"
)
_LAKE = re.compile(
    rf"(?P<dataset>{DATASET_PATTERN})/year=(\d{{4}})/month=(\d\d)/day=(\d\d)/hour=(\d\d)/[0-9a-f]{{32}}\.parquet"
)
_PARTITIONED = re.compile(
    rf"(?P<dataset>{DATASET_PATTERN})/(?:[^/=]+=[^/]*/)+(\d{{4}})(\d\d)(\d\d)(\d\d)-[0-9a-f]{{32}}\.parquet"
)
_COMPACTED = re.compile(rf"{DATASET_PATTERN}/(?:[^/=]+=[^/]*/)*c-[0-9a-f]{{32}}\.parquet")
_EXPORT = re.compile(
    rf"exports/(?P<run_id>{RUN_ID_PATTERN})/(?P<dataset>{DATASET_PATTERN})/[a-z0-9]{{1,32}}/"
    rf"(?:(?P<combined>combined)/(?!manifest\.json))?[^/]+"
)


@dataclass(frozen=True, slots=True)
class Limits:
    ttl: timedelta = timedelta(hours=168)
    """An artifact is removed this long after its run has ended."""
    grace: timedelta = timedelta(hours=24)
    """The age at which an object that nothing names is removed. Its writer names it within minutes."""
    lake_grace: timedelta = timedelta(hours=24)
    """How long a file of the lake stays after every listing names the one that a compaction made of it."""


@dataclass(frozen=True, slots=True)
class Run:
    """What the ledger knows of a run."""

    run_id: str
    requested_at: datetime
    ended_at: datetime | None
    """None: it goes on, or one that goes on replays it."""
    dead_datasets: frozenset[str] = frozenset()
    """Those of which a dead letter may still be redriven."""


@dataclass(frozen=True, slots=True)
class ArtifactKey:
    run_id: str
    dataset: str
    stage: str


@dataclass(frozen=True, slots=True)
class LakeKey:
    """A lake object's partition: its dataset and the hour in which its run was requested."""

    dataset: str
    hour: datetime


@dataclass(frozen=True, slots=True)
class ExportKey:
    run_id: str
    dataset: str
    is_combined: bool = False
    """It has the rows of many batches, and a manifest beside it."""


@dataclass(slots=True)
class Tally:
    count: int = 0
    bytes: int = 0


def _nothing() -> dict[Kind, Tally]:
    return {kind: Tally() for kind in KINDS}


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep removed, or would remove."""

    dry_run: bool
    removed: Mapping[Kind, Tally] = field(default_factory=_nothing)
    problems: list[str] = field(default_factory=list)
    """Why something was left alone though it may be due."""

    @property
    def total(self) -> Tally:
        tallies = self.removed.values()
        return Tally(sum(tally.count for tally in tallies), sum(tally.bytes for tally in tallies))

    def as_dict(self) -> dict[str, Any]:
        """For JSON: one object per kind and `total`, each with `count` and `bytes`."""
        tallies = [*self.removed.items(), ("total", self.total)]
        return {
            "dry_run": self.dry_run,
            **{name: {"count": tally.count, "bytes": tally.bytes} for name, tally in tallies},
            "complaints": list(self.problems),
        }


def artifact_key(key: str) -> ArtifactKey | None:
    """None for a key that is not an artifact's: it stays.

    Those are manifests, plans, dataset files, requests, cancel marks, and objects of other programs.
    """
    found = _ARTIFACT.fullmatch(key)
    return None if found is None else ArtifactKey(found["run_id"], found["dataset"], found["stage"])


def lake_key(key: str) -> LakeKey | None:
    """None for a key that is not a run's: change data, listings, objects of other programs."""
    found = _LAKE.fullmatch(key) or _PARTITIONED.fullmatch(key)
    if found is None:
        return None
    try:
        year, month, day, hour = (int(part) for part in found.groups()[1:])
        return LakeKey(found["dataset"], datetime(year, month, day, hour, tzinfo=UTC))
    except ValueError:
        return None


def is_compacted_key(key: str) -> bool:
    """Whether it is that of an object that a compaction made: of no run, and of any partition."""
    return _COMPACTED.fullmatch(key) is not None


def export_key(key: str) -> ExportKey | None:
    found = _EXPORT.fullmatch(key)
    if found is None:
        return None
    return ExportKey(found["run_id"], found["dataset"], found["combined"] is not None)


def combined_names(manifest: Any) -> Collection[str]:
    """The files that the manifest beside combined ones names. Raises `ValueError` for a document that is none."""
    try:
        return {file["name"] for file in manifest["files"]}
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a manifest: {error!r}") from error


def hour_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def is_older(modified: datetime, age: timedelta, now: datetime) -> bool:
    return modified + age <= now


def is_expired(run: Run | None, modified: datetime, limits: Limits, now: datetime) -> bool:
    """An artifact whose run ended a TTL ago. One that a redriven dead letter wrote since has a TTL of its own."""
    return (
        run is not None
        and run.ended_at is not None
        and is_older(max(run.ended_at, modified), limits.ttl, now)
    )


def may_be_orphaned(run: Run | None, modified: datetime, limits: Limits, now: datetime) -> bool:
    """An artifact, or an export, that is removed unless a manifest, a result or a listing names it."""
    return run is not None and run.ended_at is not None and is_older(modified, limits.grace, now)


def is_lake_object_safe(place: LakeKey, runs: Iterable[Run], limits: Limits, now: datetime) -> bool:
    """A lake object does not tell its run. It stays while a run of its hour may still come to name it.

    That is one that goes on, or one with a dead batch of the dataset whose artifacts are still there to be replayed.
    """
    return any(
        run.ended_at is None
        or (place.dataset in run.dead_datasets and not is_older(run.ended_at, limits.ttl, now))
        for run in runs
        if hour_of(run.requested_at) == place.hour
    )


def listed_uris(listing: Any) -> Collection[str]:
    """Every file that `_runs/<run_id>.json` or `_datasets/<dataset>.json` names.

    Raises `ValueError` for a document that is not a listing.
    """
    try:
        if "objects" in listing:
            return {file["uri"] for file in listing["objects"]}
        return {
            file["uri"]
            for dataset in listing["datasets"].values()
            for files in (dataset["objects"], dataset["exports"], dataset.get("combined", ()))
            for file in files
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a listing: {error!r}") from error
