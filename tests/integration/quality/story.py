"""Runs as their events tell them: what every stage would publish, and the row accounting that must follow."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from shared.bus.messages import Outgoing
from shared.events import ids, topics, topology
from shared.events.models import (
    Artifact,
    BatchManifest,
    Counts,
    CrawlPlanned,
    CrawlRequest,
    DatasetSummary,
    MissingPage,
)
from shared.events.topology import Stage
from shared.reasons import Reason

REQUESTED_AT = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
PRODUCED_AT = datetime(2026, 11, 23, 6, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Batch:
    """`rows` are crawled; one in ten is rejected, one in twenty deduplicated. `dead` names where it dies, if it does."""

    rows: int = 100
    dead: frozenset[Stage] = frozenset()
    missing: tuple[MissingPage, ...] = ()
    clean: bool = False
    superseded: int = 0
    nulls: dict[str, int] | None = None

    @property
    def rejected(self) -> int:
        return 0 if self.clean else self.rows // 10

    @property
    def deduplicated(self) -> int:
        return 0 if self.clean else self.rows // 20

    @property
    def accepted(self) -> int:
        return self.rows - self.rejected - self.deduplicated


@dataclass(frozen=True)
class Story:
    run_id: str
    datasets: Mapping[str, tuple[Batch, ...]]
    formats: tuple[str, ...] = ("parquet", "csv.gz")
    request: CrawlRequest = field(init=False)

    def __post_init__(self) -> None:
        request = CrawlRequest(
            run_id=self.run_id,
            datasets=tuple(self.datasets),
            requested_at=REQUESTED_AT,
            requested_by="a test",
        )
        object.__setattr__(self, "request", request)

    def events(self) -> list[Outgoing]:
        """Every event of the run, in an order that could be."""
        return [*self.plans(), *(event for name in self.datasets for event in self.results(name))]

    def plans(self) -> list[Outgoing]:
        return [self.plan(name) for name in self.datasets]

    def plan(self, dataset: str) -> Outgoing:
        batches = self.datasets[dataset]
        planned = CrawlPlanned(
            run_id=self.run_id,
            dataset=dataset,
            batches=len(batches),
            rows=sum(batch.rows for batch in batches),
            requested_at=REQUESTED_AT,
            request=self.request,
            produced_at=PRODUCED_AT,
        )
        return Outgoing(topics.CRAWL_PLANNED, self.run_id, planned)

    def results(self, dataset: str) -> list[Outgoing]:
        return [
            event
            for sequence in range(len(self.datasets[dataset]))
            for event in self.results_of_batch(dataset, sequence)
        ]

    def results_of_batch(self, dataset: str, sequence: int) -> list[Outgoing]:
        batch = self.datasets[dataset][sequence]
        events = [self.result(dataset, sequence, "crawler")]
        if "crawler" not in batch.dead:
            events.append(self.result(dataset, sequence, "processor"))
            if "processor" not in batch.dead:
                events += [
                    self.result(dataset, sequence, stage) for stage in ("converter", "loader", "s3sink")
                ]
        return events

    def result(self, dataset: str, sequence: int, stage: Stage) -> Outgoing:
        batch = self.datasets[dataset][sequence]
        dead = stage in batch.dead
        manifest = BatchManifest(
            run_id=self.run_id,
            dataset=dataset,
            batch_id=self.batch_id(dataset, sequence),
            sequence=sequence,
            stage=stage,
            status="dead" if dead else "done",
            reason=Reason.HANDLER if dead else None,
            detail="it died" if dead else None,
            requested_at=REQUESTED_AT,
            artifacts=() if dead else self._artifacts(dataset, sequence, stage),
            counts=_counts(batch, stage, dead=dead),
            missing=batch.missing if stage == "crawler" else (),
            nulls=batch.nulls if stage == "loader" else None,
            rejected_by_reason={"type": batch.rejected} if stage == "processor" and not dead else {},
            produced_at=PRODUCED_AT,
            code_version="test",
        )
        topic = topics.BATCH_FAILED if dead else topology.RESULT_OF_STAGE[stage]
        return Outgoing(topic, manifest.batch_id, manifest)

    def batch_id(self, dataset: str, sequence: int) -> str:
        return ids.batch_id(self.run_id, dataset, sequence)

    def summary(self, dataset: str, dead_by: str = "handler") -> DatasetSummary:
        """What `run.completed` must contain."""
        batches = self.datasets[dataset]
        lost_early = frozenset[Stage]({"crawler", "processor"})
        alive = [batch for batch in batches if not batch.dead & lost_early]
        loaded = [batch for batch in alive if "loader" not in batch.dead]
        stored = [batch for batch in alive if "s3sink" not in batch.dead]
        converted = [batch for batch in alive if "converter" not in batch.dead]
        refused = {
            dead_by: sum(batch.rows for batch in batches if batch.dead & lost_early),
            "type": sum(batch.rejected for batch in alive),
        }
        return DatasetSummary(
            batches=len(batches),
            batches_dead=sum(bool(batch.dead) for batch in batches),
            rows_crawled=sum(batch.rows for batch in batches),
            rows_accepted=sum(batch.accepted for batch in alive),
            rows_rejected=sum(b.rows if b.dead & lost_early else b.rejected for b in batches),
            rows_deduplicated=sum(batch.deduplicated for batch in alive),
            rows_loaded=sum(batch.accepted - batch.superseded for batch in loaded),
            rows_superseded=sum(batch.superseded for batch in loaded),
            rows_not_loaded=sum(b.accepted for b in alive) - sum(b.accepted for b in loaded),
            rows_stored=sum(batch.accepted for batch in stored),
            rows_not_stored=sum(b.accepted for b in alive) - sum(b.accepted for b in stored),
            rows_promised=sum(batch.rows for batch in batches),
            rejected_by_reason={reason: rows for reason, rows in refused.items() if rows},
            objects_stored=1 if stored else 0,
            bytes_stored=5000 if stored else 0,
            exports={name.partition(".")[0]: len(converted) for name in self.formats} if converted else {},
        )

    def _artifacts(self, dataset: str, sequence: int, stage: Stage) -> tuple[Artifact, ...]:
        rows = self.datasets[dataset][sequence].accepted
        match stage:
            case "converter":
                return tuple(
                    _artifact(
                        f"memory://lake/exports/{self.run_id}/{dataset}/{sequence}.{name}", name, rows, 700
                    )
                    for name in self.formats
                )
            case "s3sink":
                # All batches of a dataset are in one object.
                return (_artifact(f"memory://lake/{dataset}/{self.run_id}.parquet", "parquet", 1000, 5000),)
            case _:
                return ()


def _counts(batch: Batch, stage: Stage, *, dead: bool) -> Counts:
    read = batch.rows if stage in {"crawler", "processor"} else batch.accepted
    if dead:
        return Counts(read=read)
    match stage:
        case "processor":
            return Counts(
                read=read, accepted=batch.accepted, rejected=batch.rejected, deduplicated=batch.deduplicated
            )
        case "loader":
            return Counts(read=read, loaded=batch.accepted - batch.superseded, superseded=batch.superseded)
        case _:
            return Counts(read=read, accepted=read)


def _artifact(uri: str, file_format: str, rows: int, size: int) -> Artifact:
    sha256 = hashlib.sha256(uri.encode()).hexdigest()
    return Artifact(uri=uri, format=file_format, rows=rows, bytes=size, sha256=sha256)
