"""Events of other programs are read as before, and OnPoint's are written as before, byte for byte.

`tests/data/events/<topic>/<name>.json` contains the value of one record, and a newline that is not part of it. A file of an
older revision is what the code of that time wrote. `tests/support/golden.py` tells what to do about a difference.
"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from console.client.run_request import RunRequest
from services.crawler.domain.request_validation import validate_request
from shared.errors import PermanentError
from shared.events import models, topics, topology
from shared.events.decode import decode_event, decode_failure, encode, parse_object
from shared.events.models import CrawlRequest, Event, Part
from tests.support import golden
from tests.support.records import ROOT

FOLDER = ROOT / "tests" / "data" / "events"
SCHEMAS = Path(models.__file__).parent / "schemas"
ASKED_AT = datetime(2026, 11, 24, 6, 5, 4, 321000, tzinfo=UTC)
DERIVED_ID = "r-20261124T060504Z-1f2e3d4c"
DATASETS = ("posts", "stories", "users")


def of(model: type[Event]) -> Callable[[bytes], Part]:
    return lambda value: decode_event(model, value)


DECODERS: dict[str, Callable[[bytes], Part]] = {
    topics.CRAWL_BATCH_REQUESTED: of(models.CrawlBatchRequested),
    topics.CRAWL_PLANNED: of(models.CrawlPlanned),
    topics.BATCH_CRAWLED: of(models.BatchManifest),
    topics.BATCH_PROCESSED: of(models.BatchManifest),
    topics.BATCH_CONVERTED: of(models.BatchManifest),
    topics.BATCH_LOADED: of(models.BatchManifest),
    topics.BATCH_STORED: of(models.BatchManifest),
    topics.BATCH_FAILED: decode_failure,
    topics.RUN_SEALED: of(models.RunSealed),
    topics.RUN_DRAINED: of(models.RunDrained),
    topics.RUN_COMPLETED: of(models.RunCompleted),
    topics.EXPORTS_COMBINE_REQUESTED: of(models.ExportsCombineRequested),
    topics.EXPORTS_COMBINED: of(models.ExportsCombined),
}
"""By topic; requests are apart: other programs write them, with as few fields as they need."""

FIRST_REVISION = {topics.EXPORTS_COMBINE_REQUESTED: 5, topics.EXPORTS_COMBINED: 5}
"""Of topics that came later."""

SCHEMAS_OF_TOPICS = {
    "BatchManifest": tuple(topology.RESULT_OF_STAGE.values()),
    "BatchUnreadable": (topics.BATCH_FAILED,),
    "CrawlBatchRequested": (topics.CRAWL_BATCH_REQUESTED,),
    "CrawlPlanned": (topics.CRAWL_PLANNED,),
    "CrawlRequest": (topics.CRAWL_PLANNED,),
    "ExportsCombineRequested": (topics.EXPORTS_COMBINE_REQUESTED,),
    "ExportsCombined": (topics.EXPORTS_COMBINED,),
    "RunCompleted": (topics.RUN_COMPLETED,),
    "RunDrained": (topics.RUN_DRAINED,),
    "RunSealed": (topics.RUN_SEALED,),
}


def read(path: Path) -> bytes:
    return path.read_bytes().removesuffix(b"\n")


def revision_of(path: Path) -> int:
    return int(json.loads(read(path))["revision"])


def files(topic: str) -> list[Path]:
    return sorted((FOLDER / topic).glob("*.json"))


EVENTS = [path for topic in DECODERS for path in files(topic)]
CURRENT = [path for path in EVENTS if revision_of(path) == models.REVISION]
OLDER = [path for path in EVENTS if revision_of(path) < models.REVISION]
NEWER = [path for path in EVENTS if revision_of(path) > models.REVISION]


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def decoded(path: Path) -> Part:
    try:
        return DECODERS[path.parent.name](read(path))
    except PermanentError as error:
        pytest.fail(f"{name_of(path)}.json is not read any more (missing): {error}", pytrace=False)


def check_bytes(path: Path, now: bytes) -> None:
    """The record is written as its file has it."""
    if golden.is_made_anew():
        path.write_bytes(now + b"\n")
        pytest.skip(f"{name_of(path)}.json was made anew")
    if now != read(path):
        pytest.fail(
            f"{name_of(path)}.json is written in other bytes now (different); {golden.how_to_make_anew()}.\n"
            f"  was {read(path).decode()}\n  is  {now.decode()}",
            pytrace=False,
        )


def lost(given: Any, written: Any, where: str = "value") -> Iterator[str]:
    """What was given and is not written, or not with the same value; what is written besides does not count."""
    if isinstance(given, dict) and isinstance(written, dict):
        for name, value in given.items():
            yield from (
                lost(value, written[name], f"{where}.{name}") if name in written else (f"{where}.{name}",)
            )
    elif isinstance(given, list) and isinstance(written, list) and len(given) == len(written):
        for place, (before, after) in enumerate(zip(given, written, strict=True)):
            yield from lost(before, after, f"{where}.{place}")
    elif type(given) is not type(written) or given != written:
        yield where


def accepted(path: Path) -> CrawlRequest:
    """What the crawler makes of a request, for a replay beside the run of `full.json`."""
    document = parse_object(read(path))
    replayed = accepted(path.with_stem("full")) if document.get("replay_of") else None
    return validate_request(
        document, derived_id=DERIVED_ID, requested_at=ASKED_AT, known=DATASETS, replayed=replayed
    )


@pytest.mark.parametrize("path", CURRENT, ids=name_of)
def test_an_event_of_onpoint_is_written_as_it_was_read_byte_for_byte(path: Path) -> None:
    check_bytes(path, encode(decoded(path)))


@pytest.mark.parametrize("path", OLDER, ids=name_of)
def test_an_event_of_an_older_revision_keeps_all_its_fields(path: Path) -> None:
    written = json.loads(encode(decoded(path)))
    gone = list(lost(json.loads(read(path)), written))
    assert not gone, (
        f"{name_of(path)}.json is an event of an older version, and these are not read any more: {gone}"
    )


@pytest.mark.parametrize("path", NEWER, ids=name_of)
def test_an_event_of_a_newer_revision_loses_only_its_unknown_fields(path: Path) -> None:
    gone = list(lost(json.loads(read(path)), json.loads(encode(decoded(path)))))
    assert gone == ["value.compressed_by"]


def test_requests_are_accepted_or_refused_as_agreed() -> None:
    """An error text is OnPoint's own, and other programs show it to people."""
    found = {path.stem: json.loads(encode(accepted(path))) for path in files(topics.CRAWL_REQUESTED)}
    golden.compare("accepted_requests", found)


@pytest.mark.parametrize("name", ["run", "replay"])
def test_the_command_line_asks_in_the_agreed_bytes(name: str) -> None:
    path = FOLDER / topics.CRAWL_REQUESTED / f"{name}.json"
    asked = parse_object(read(path))
    request = RunRequest(
        run_id=asked["run_id"],
        datasets=tuple(asked["datasets"]),
        requested_by=asked["requested_by"],
        formats=tuple(asked["formats"]),
        limits={dataset: given["limit"] for dataset, given in asked.get("parameters", {}).items()},
        replay_of=asked.get("replay_of"),
        from_stage=asked.get("from_stage"),
    )
    check_bytes(path, request.value())


def test_every_topic_has_events_of_this_revision_and_of_each_before() -> None:
    declared = {value for name, value in vars(topics).items() if name.isupper() and isinstance(value, str)}
    assert {path.name for path in FOLDER.iterdir()} == declared == {*DECODERS, topics.CRAWL_REQUESTED}
    for topic in DECODERS:
        revisions = {revision_of(path) for path in files(topic)}
        lacking = set(range(FIRST_REVISION.get(topic, 0), models.REVISION + 1)) - revisions
        assert not lacking, (
            f"{topic}/ needs an event of revision {lacking}, as the code of that revision writes it"
        )


@pytest.mark.parametrize("schema", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.stem)
def test_every_field_has_a_value_in_at_least_one_event(schema: Path) -> None:
    values = [
        json.loads(read(path))
        for topic in SCHEMAS_OF_TOPICS[schema.stem]
        for path in files(topic)
        if path in CURRENT
    ]
    present = {name for value in values for name in names_with_values(value)}
    absent = fields_of(json.loads(schema.read_text(encoding="utf-8"))) - present
    assert not absent, f"an event in {FOLDER.name}/ is needed with a value in {sorted(absent)}"


@pytest.mark.parametrize(
    ("topic", "schema", "field"),
    [
        (topics.CRAWL_BATCH_REQUESTED, "CrawlBatchRequested", "kind"),
        (topics.RUN_COMPLETED, "RunCompleted", "status"),
    ],
)
def test_there_is_an_event_for_every_kind_of_work_and_every_end(topic: str, schema: str, field: str) -> None:
    agreed = json.loads((SCHEMAS / f"{schema}.json").read_text(encoding="utf-8"))
    properties = [agreed["properties"], *(part.get("properties", {}) for part in agreed["$defs"].values())]
    possible = {
        value
        for part in properties
        if field in part
        for value in part[field].get("enum", [part[field].get("const")])
    }
    values = [json.loads(read(path)) for path in files(topic)]
    assert len(possible) >= 4
    assert possible == {value[field] if field in value else value["work"][field] for value in values}


def fields_of(schema: dict[str, Any]) -> set[str]:
    parts = [schema, *schema.get("$defs", {}).values()]
    return {name for part in parts for name in part.get("properties", {})}


def names_with_values(value: Any) -> Iterator[str]:
    """Fields at any depth that are neither null, empty, false nor 0."""
    if isinstance(value, dict):
        yield from (name for name, inner in value.items() if inner)
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from names_with_values(inner)
