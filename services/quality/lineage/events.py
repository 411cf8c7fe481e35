"""Lineage events of the pipeline's events: one run per batch and stage, below the run of the pipeline. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from services.quality.lineage import facets
from services.quality.lineage.facets import Facet
from services.quality.lineage.naming import (
    RUN_JOB,
    Place,
    Places,
    batch_uuid,
    run_uuid,
    stage_job,
)
from shared.datasets.model import Dataset
from shared.events.models import BatchManifest, CrawlPlanned, RunCompleted
from shared.events.times import utc_text

_SCHEMA: Final = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"

_END_OF_RUN: Final = {"succeeded": "COMPLETE", "partial": "COMPLETE", "failed": "FAIL", "cancelled": "ABORT"}

LineageEvent = dict[str, Any]
Datasets = Mapping[str, Dataset]


class LineageEvents:
    """`places` and `namespace` are the installation's."""

    def __init__(self, places: Places, namespace: str) -> None:
        self._places = places
        self._namespace = namespace

    def run_started(self, planned: CrawlPlanned) -> LineageEvent | None:
        """Of a run's first dataset, so that a run starts once; None for the others."""
        request = planned.request
        if planned.dataset is not None and planned.dataset != request.datasets[0]:
            return None
        return self._of_run(
            "START", planned.run_id, utc_text(request.requested_at), utc_text(request.requested_at)
        )

    def run_ended(self, completed: RunCompleted, datasets: Datasets) -> LineageEvent:
        """With the tables that it wrote, and on each the checks as they were then."""
        event = self._of_run(
            _END_OF_RUN[completed.status],
            completed.run_id,
            utc_text(completed.finished_at),
            utc_text(completed.requested_at),
            completed.reason,
        )
        for name, summary in completed.datasets.items():
            if (dataset := datasets.get(name)) is None:
                continue
            place = self._places.table(dataset.table)
            checks = [check for check in completed.checks if check.dataset == name]
            if checks:
                found = {"dataQualityAssertions": facets.assertions(checks)}
                event["inputs"].append(_input(place, dataset, found))
            event["outputs"].append(_output(place, dataset, facets.output_statistics(summary.rows_loaded)))
        return event

    def batch_started(
        self, batch: BatchManifest, dataset: Dataset | None, started_at: datetime
    ) -> LineageEvent:
        """One stage of one batch. `started_at`: when what it works on was ready."""
        at = min(started_at, batch.produced_at)
        return self._of_batch("START", utc_text(at), batch, dataset)

    def batch_ended(self, batch: BatchManifest, dataset: Dataset | None) -> LineageEvent:
        """What the stage read, what it wrote, or why the batch is dead."""
        is_dead = batch.status == "dead"
        event = self._of_batch("FAIL" if is_dead else "COMPLETE", utc_text(batch.produced_at), batch, dataset)
        if is_dead:
            why = f"{batch.reason}: {batch.detail or ''}".rstrip(": ")
            event["run"]["facets"]["errorMessage"] = facets.error_message(why)
        event["inputs"].append(self._read(batch, dataset))
        if not is_dead:
            event["outputs"] += self._written(batch, dataset)
        return event

    def _of_batch(self, kind: str, at: str, batch: BatchManifest, dataset: Dataset | None) -> LineageEvent:
        of_job = {"jobType": facets.job_type("STAGE")}
        if dataset is not None:
            of_job["sourceCode"] = facets.source_code(dataset)
        return self._event(
            kind,
            at,
            batch_uuid(batch.batch_id, batch.stage),
            {
                "parent": facets.parent(run_uuid(batch.run_id), self._namespace, RUN_JOB),
                "processing_engine": facets.engine(batch.code_version),
            },
            stage_job(batch.dataset, batch.stage),
            of_job,
        )

    def _of_run(
        self, kind: str, run_id: str, at: str, requested_at: str, reason: str | None = None
    ) -> LineageEvent:
        run_facets = {"nominalTime": facets.nominal_time(requested_at)}
        if reason is not None:
            run_facets["errorMessage"] = facets.error_message(reason)
        of_job = {"jobType": facets.job_type("RUN")}
        return self._event(kind, at, run_uuid(run_id), run_facets, RUN_JOB, of_job)

    def _event(
        self,
        kind: str,
        at: str,
        run: str,
        run_facets: Mapping[str, Facet],
        job: str,
        job_facets: Mapping[str, Facet],
    ) -> LineageEvent:
        return {
            "eventType": kind,
            "eventTime": at,
            "producer": facets.PRODUCER,
            "schemaURL": _SCHEMA,
            "run": {"runId": run, "facets": dict(run_facets)},
            "job": {"namespace": self._namespace, "name": job, "facets": dict(job_facets)},
            "inputs": [],
            "outputs": [],
        }

    def _read(self, batch: BatchManifest, dataset: Dataset | None) -> dict[str, Any]:
        """Where the rows are from. A replay copies the batch of another run instead of a request to the source."""
        places, rows = self._places, batch.counts.read
        match batch.stage:
            case "crawler" if not batch.parent_batch_ids:
                place = places.source(batch.dataset, dataset)
            case "crawler" | "processor":
                place = places.raw(batch.dataset)
            case _:
                place = places.clean(batch.dataset)
        found = {"inputStatistics": facets.input_statistics(rows)}
        if batch.nulls is not None:
            found["dataQualityMetrics"] = facets.quality_metrics(rows, batch.nulls)
        is_typed = place == places.clean(batch.dataset)
        return _input(place, dataset if is_typed else None, found)

    def _written(self, batch: BatchManifest, dataset: Dataset | None) -> list[dict[str, Any]]:
        places, counts = self._places, batch.counts
        if batch.stage == "loader":
            table = dataset.table if dataset is not None else f"onpoint_{batch.dataset}"
            return [
                _output(places.table(table), dataset, facets.output_statistics(counts.loaded), batch.batch_id)
            ]
        by_format: dict[str, list[Any]] = {}
        for file in batch.artifacts:
            by_format.setdefault(file.format, []).append(file)
        found = []
        for name, files in sorted(by_format.items()):
            place = self._place_of(batch, name)
            if place is not None:
                statistics = facets.output_statistics(sum(file.rows for file in files), files)
                is_typed = name != "jsonl.zst"
                found.append(_output(place, dataset if is_typed else None, statistics, batch.batch_id))
        return found

    def _place_of(self, batch: BatchManifest, name: str) -> Place | None:
        """None: the file is about the rows, and has none of them."""
        match batch.stage, name:
            case "converter", _:
                return self._places.export(batch.dataset, name)
            case "s3sink", _:
                return self._places.lake(batch.dataset)
            case _, "parquet":
                return self._places.clean(batch.dataset)
            case _, "jsonl.zst":
                return self._places.raw(batch.dataset)
        return None


def _input(place: Place, dataset: Dataset | None, found: Mapping[str, Facet]) -> dict[str, Any]:
    return _dataset(place, dataset, None) | {"inputFacets": dict(found)}


def _output(
    place: Place, dataset: Dataset | None, statistics: Facet, version: str | None = None
) -> dict[str, Any]:
    return _dataset(place, dataset, version) | {"outputFacets": {"outputStatistics": statistics}}


def _dataset(place: Place, dataset: Dataset | None, version: str | None) -> dict[str, Any]:
    found: dict[str, Facet] = {}
    if dataset is not None:
        found["schema"] = facets.schema(dataset.columns)
    if place.storage is not None:
        found["storage"] = facets.storage("s3", place.storage)
    if version is not None:
        found["version"] = facets.version(version)
    return {"namespace": place.namespace, "name": place.name, "facets": found}
