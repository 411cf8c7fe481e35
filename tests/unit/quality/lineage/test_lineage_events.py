"""Lineage events are those of the OpenLineage specification: its own library's classes take each part, and know no other."""

import importlib
import json
import pkgutil
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import attr
import pytest
from openlineage.client import generated
from openlineage.client.generated.base import InputDataset, Job, OutputDataset, Run, RunEvent

from services.quality.lineage.events import LineageEvents
from services.quality.lineage.naming import Places, batch_uuid, database_of, run_uuid
from shared.datasets.catalog import load_catalog
from shared.events import ids
from shared.events.models import (
    Artifact,
    BatchManifest,
    CheckResult,
    Counts,
    CrawlPlanned,
    CrawlRequest,
    DatasetSummary,
    RunCompleted,
)
from shared.events.topology import STAGES, Stage
from shared.reasons import Reason

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
RUN = "2026-11-29-daily"
POSTS = load_catalog(None, {})["posts"]
EVENTS = LineageEvents(Places("staging", "lake", "db.example:5432/onpoint"), "onpoint")
SHA = "a" * 64
FORMATS: dict[Stage, tuple[str, ...]] = {
    "crawler": ("jsonl.zst", "requests.jsonl.zst"),
    "processor": ("parquet", "quarantine.jsonl.zst"),
    "converter": ("csv", "parquet"),
    "loader": (),
    "s3sink": ("parquet",),
}


def classes() -> dict[str, Any]:
    """The library's classes of facets, by name."""
    modules = [
        importlib.import_module(f"{generated.__name__}.{found.name}")
        for found in pkgutil.iter_modules(generated.__path__)
    ]
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, type) and attr.has(value) and name.endswith("Facet")
    }


FACETS = classes()


def batch(stage: Stage, **changes: Any) -> BatchManifest:
    values: dict[str, Any] = {
        "run_id": RUN,
        "dataset": "posts",
        "batch_id": ids.batch_id(RUN, "posts", 0),
        "sequence": 0,
        "stage": stage,
        "requested_at": NOON,
        "produced_at": NOON,
        "code_version": "0.1.0",
        "counts": Counts(read=10, accepted=9, rejected=1, loaded=9 if stage == "loader" else 0),
        "nulls": {"title": 2} if stage == "loader" else None,
        "parent_batch_ids": () if stage == "crawler" else (ids.batch_id(RUN, "posts", 0),),
        "artifacts": tuple(
            Artifact(uri=f"s3://b/{name}", format=name, rows=9, bytes=100, sha256=SHA)
            for name in FORMATS[stage]
        ),
    }
    return BatchManifest(**values | changes)


def completed(status: str = "partial", reason: str | None = None) -> RunCompleted:
    check = CheckResult(
        dataset="posts", name="row_count", severity="error", passed=True, value=9, expected={"min": 1}
    )
    return RunCompleted.model_validate(
        {
            "run_id": RUN,
            "status": status,
            "reason": reason,
            "requested_at": NOON,
            "started_at": NOON,
            "finished_at": NOON,
            "datasets": {"posts": DatasetSummary(rows_loaded=9), "gone": DatasetSummary()},
            "checks": (check,),
        }
    )


def planned(dataset: str | None, refused: str | None = None) -> CrawlPlanned:
    request = CrawlRequest(run_id=RUN, datasets=("posts", "users"), requested_at=NOON, refused=refused)
    return CrawlPlanned(
        run_id=RUN, dataset=dataset, batches=1, requested_at=NOON, request=request, produced_at=NOON
    )


def every_event() -> list[dict[str, Any]]:
    found = [EVENTS.batch_ended(batch(stage), POSTS) for stage in STAGES]
    found += [EVENTS.batch_ended(batch(stage), None) for stage in STAGES]
    found += [EVENTS.batch_started(batch(stage), POSTS, NOON) for stage in STAGES]
    dead = {"status": "dead", "reason": Reason.CHECKSUM, "detail": "it is damaged", "artifacts": ()}
    found += [EVENTS.batch_ended(batch(stage, **dead), POSTS) for stage in STAGES]
    started = EVENTS.run_started(planned("posts"))
    assert started is not None
    ended = [EVENTS.run_ended(completed(status), {"posts": POSTS}) for status in ("failed", "cancelled")]
    return [*found, started, *ended, EVENTS.run_ended(completed(reason="books"), {"posts": POSTS})]


def checked_facets(found: dict[str, Any]) -> dict[str, Any]:
    """The facets as the library's own, each by the class that its schema names and of that class's version."""
    made = {}
    for name, values in found.items():
        kind = FACETS[values["_schemaURL"].rpartition("/")[2]]
        rest = {key: value for key, value in values.items() if not key.startswith("_")}
        made[name] = kind(producer=values["_producer"], **rest)
        assert made[name]._schemaURL == values["_schemaURL"]  # noqa: SLF001 - where the library has it
    return made


@pytest.mark.parametrize("event", every_event(), ids=lambda one: f"{one['job']['name']}-{one['eventType']}")
def test_the_library_of_the_specification_takes_every_part(event: dict[str, Any]) -> None:
    run, job = event["run"], event["job"]
    made = RunEvent(
        eventTime=event["eventTime"],
        producer=event["producer"],
        run=Run(runId=run["runId"], facets=checked_facets(run["facets"])),
        job=Job(job["namespace"], job["name"], checked_facets(job["facets"])),
        eventType=event["eventType"],
        inputs=[_dataset(InputDataset, one, "inputFacets") for one in event["inputs"]],
        outputs=[_dataset(OutputDataset, one, "outputFacets") for one in event["outputs"]],
    )
    assert made.schemaURL == event["schemaURL"]
    assert str(uuid.UUID(run["runId"])) == run["runId"]
    json.dumps(event)


def _dataset(kind: Any, one: dict[str, Any], own: str) -> Any:
    assert set(one) == {"namespace", "name", "facets", own}
    return kind(
        namespace=one["namespace"],
        name=one["name"],
        facets=checked_facets(one["facets"]),
        **{own: checked_facets(one[own])},
    )


def test_what_a_stage_writes_is_what_the_next_reads() -> None:
    events = {stage: EVENTS.batch_ended(batch(stage), POSTS) for stage in STAGES}

    def places(stage: Stage, side: str) -> list[tuple[str, str]]:
        return [(one["namespace"], one["name"]) for one in events[stage][side]]

    assert places("crawler", "inputs") == [("https://jsonplaceholder.typicode.com", "/posts")]
    assert places("crawler", "outputs") == places("processor", "inputs")
    for stage in ("converter", "loader", "s3sink"):
        assert places(stage, "inputs") == places("processor", "outputs")
    assert places("loader", "outputs") == [("postgres://db.example:5432", "onpoint.public.onpoint_posts")]
    assert places("s3sink", "outputs") == [("s3://lake", "posts")]
    assert places("converter", "outputs") == [
        ("s3://lake", "exports/posts/csv"),
        ("s3://lake", "exports/posts/parquet"),
    ]


def test_every_batch_and_stage_is_a_run_below_the_run_of_the_pipeline() -> None:
    events = [EVENTS.batch_ended(batch(stage), POSTS) for stage in STAGES]
    assert len({event["run"]["runId"] for event in events}) == len(STAGES)
    assert {event["run"]["facets"]["parent"]["run"]["runId"] for event in events} == {run_uuid(RUN)}


def test_a_stage_starts_when_what_it_works_on_is_ready_and_never_after_its_end() -> None:
    before, after = NOON - timedelta(seconds=5), NOON + timedelta(seconds=5)
    times = [EVENTS.batch_started(batch("loader"), POSTS, at)["eventTime"] for at in (before, after)]
    assert times == ["2026-11-29T11:59:55.000000Z", "2026-11-29T12:00:00.000000Z"]


def test_a_repeated_event_is_the_same_event() -> None:
    assert EVENTS.batch_ended(batch("loader"), POSTS) == EVENTS.batch_ended(batch("loader"), POSTS)


def test_a_run_starts_once_and_ends_as_it_did() -> None:
    assert EVENTS.run_started(planned("users")) is None
    started = EVENTS.run_started(planned("posts"))
    refused = EVENTS.run_started(planned(None, refused="no such dataset"))
    assert started is not None
    assert refused is not None
    kinds = [
        EVENTS.run_ended(completed(status), {})["eventType"]
        for status in ("succeeded", "failed", "cancelled")
    ]
    assert (started["eventType"], started["run"]["runId"], kinds) == (
        "START",
        run_uuid(RUN),
        ["COMPLETE", "FAIL", "ABORT"],
    )


def test_statistics_nulls_and_checks_are_told() -> None:
    loaded = EVENTS.batch_ended(batch("loader"), POSTS)
    assert loaded["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 9
    metrics = loaded["inputs"][0]["inputFacets"]["dataQualityMetrics"]
    assert metrics["columnMetrics"] == {"title": {"nullCount": 2}}
    ended = EVENTS.run_ended(completed(), {"posts": POSTS})
    [told] = ended["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert (told["assertion"], told["success"], told["actual"], told["expected"]) == (
        "row_count",
        True,
        "9",
        "min 1",
    )


def test_a_replayed_crawl_reads_the_other_run_and_not_the_source() -> None:
    copied = batch("crawler", parent_batch_ids=(ids.batch_id("other", "posts", 0),))
    event = EVENTS.batch_ended(copied, POSTS)
    assert event["inputs"][0]["name"] == "posts/crawler"


def test_a_dead_batch_says_why_and_wrote_nothing() -> None:
    event = EVENTS.batch_ended(batch("loader", status="dead", reason=Reason.TYPE, detail="odd"), POSTS)
    assert (event["eventType"], event["outputs"]) == ("FAIL", [])
    assert event["run"]["facets"]["errorMessage"]["message"] == "type: odd"
    assert event["run"]["runId"] == batch_uuid(event_batch_id(), "loader")


def event_batch_id() -> str:
    return ids.batch_id(RUN, "posts", 0)


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("postgresql://me:secret@db.example/onpoint", "db.example:5432/onpoint"),
        ("postgresql://me:secret@db.example:6000/onpoint?sslmode=require", "db.example:6000/onpoint"),
        ("postgresql://me@/", "localhost:5432/me"),
    ],
)
def test_the_name_of_the_database_has_no_user_and_no_password(dsn: str, expected: str) -> None:
    assert database_of(dsn) == expected
