"""When exports are asked to be combined, and what the ledger and the listing tell of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.bus.messages import Outgoing
from shared.datasets.model import Dataset
from shared.events import ids, topics
from shared.events.decode import encode
from shared.events.models import Artifact, ExportsCombined, ExportsCombineRequested
from shared.storage import keys
from tests.integration.quality.conftest import NAMES, Quality, dataset
from tests.integration.quality.story import Batch, Story

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)


@pytest.fixture
def catalog() -> dict[str, Dataset]:
    """`posts` are combined."""
    found = {name: dataset(name) for name in NAMES}
    document = found["posts"].model_dump(by_alias=True, exclude_unset=True)
    found["posts"] = Dataset.model_validate(
        document | {"formats": ["csv", "xlsx"], "exports": {"one_file": True}}
    )
    return found


def story(run_id: str, *batches: Batch) -> Story:
    return Story(run_id, {"posts": batches or (Batch(clean=True),), "users": (Batch(clean=True),)})


async def accept(quality: Quality, told: Story, **changes: Any) -> None:
    request = told.request.model_copy(update=changes)
    await quality.staging.put(keys.request_key(told.run_id), encode(request))


async def completed(quality: Quality, told: Story) -> list[Outgoing]:
    """What is published with the completion, beside it."""
    await quality.handle(*told.events())
    first, *others = await quality.handlers.on_run_drained(quality.drained_record(told.run_id))
    assert first.topic == topics.RUN_COMPLETED
    return others


def asked(outgoing: list[Outgoing]) -> list[tuple[str, str]]:
    for one in outgoing:
        assert one.topic == topics.EXPORTS_COMBINE_REQUESTED
        assert isinstance(one.event, ExportsCombineRequested)
        assert one.key == ids.combination_id(one.event.run_id, one.event.dataset, one.event.format)
    return [(one.event.dataset, one.event.format) for one in outgoing]  # type: ignore[attr-defined]  # as asserted


async def test_each_format_of_the_datasets_that_want_it_is_asked_for_with_the_completion(
    quality: Quality,
) -> None:
    told = story("combines")
    await accept(quality, told)
    assert asked(await completed(quality, told)) == [("posts", "csv"), ("posts", "xlsx")]


async def test_the_formats_are_those_of_the_request(quality: Quality) -> None:
    told = story("of-request")
    await accept(quality, told, formats=("json",))
    assert asked(await completed(quality, told)) == [("posts", "json")]


async def test_the_record_that_decided_asks_again_when_it_comes_again(quality: Quality) -> None:
    told = story("twice")
    await accept(quality, told)
    await quality.handle(*told.events())
    record = quality.drained_record("twice")
    first = await quality.handlers.on_run_drained(record)
    assert await quality.handlers.on_run_drained(record) == first
    assert len(first) == 3


@pytest.mark.parametrize("from_stage", ["loader", "s3sink"])
async def test_a_replay_without_the_converter_is_not_combined(quality: Quality, from_stage: str) -> None:
    told = story(f"replay-{from_stage}")
    await accept(quality, told, replay_of="older", from_stage=from_stage)
    assert await completed(quality, told) == []


async def test_a_run_that_left_no_request_is_not_combined(quality: Quality) -> None:
    assert await completed(quality, story("bare")) == []


async def test_a_batch_that_is_converted_after_the_run_was_drained_has_it_asked_again(
    quality: Quality,
) -> None:
    told = story("late", Batch(clean=True), Batch(clean=True, dead=frozenset({"processor"})))
    await accept(quality, told, formats=("csv",))
    assert asked(await completed(quality, told)) == [("posts", "csv")]
    quality.published.clear()
    redriven = story("late", Batch(clean=True), Batch(clean=True))
    await quality.handle(*redriven.results_of_batch("posts", 1))
    key = ids.combination_id("late", "posts", "csv")
    assert asked(quality.published_to(topics.EXPORTS_COMBINE_REQUESTED, key)) == [("posts", "csv")]
    quality.published.clear()
    await quality.handle(*told.results_of_batch("users", 0))
    assert quality.published_to(topics.EXPORTS_COMBINE_REQUESTED, key) == []


def file(name: str, rows: int = 100) -> Artifact:
    return Artifact(uri=f"memory://lake/{name}", format="csv.gz", rows=rows, bytes=9, sha256="0" * 64)


def combined(run_id: str, *names: str, batches: int = 1, **more: Any) -> Outgoing:
    values: dict[str, Any] = {
        "format": "csv",
        "produced_at": NOW,
        "manifest": "memory://lake/manifest.json",
        **more,
    }
    event = ExportsCombined(
        run_id=run_id, dataset="posts", batches=batches, files=tuple(file(name) for name in names), **values
    )
    return Outgoing(topics.EXPORTS_COMBINED, run_id, event)


def failed(run_id: str, **more: Any) -> Outgoing:
    return combined(run_id, batches=0, status="failed", detail="no room \x00", manifest=None, **more)


async def listed(quality: Quality, run_id: str) -> list[str] | None:
    await quality.listings.catch_up()
    listing: Any = await quality.listing(run_id)
    files = listing["datasets"]["posts"].get("combined")
    return None if files is None else [one["uri"].rpartition("/")[2] for one in files]


async def test_the_listing_names_the_files_of_the_latest_and_largest(quality: Quality) -> None:
    told = story("told")
    await completed(quality, told)
    assert await listed(quality, "told") is None
    await quality.handle(combined("told", "a", batches=2))
    assert await listed(quality, "told") == ["a"]
    await quality.handle(combined("told", "b", batches=2))
    assert await listed(quality, "told") == ["b"]
    await quality.handle(combined("told", "a", batches=1))  # one that was overtaken
    assert await listed(quality, "told") == ["b"]
    await quality.handle(combined("told", "c", format="xlsx"))
    assert await listed(quality, "told") == ["b", "c"]


async def test_a_failed_one_is_told_and_leaves_the_files_of_the_last_that_was_done(quality: Quality) -> None:
    told = story("fails")
    await completed(quality, told)
    await quality.handle(combined("fails", "a"), failed("fails", produced_at=NOW + timedelta(seconds=1)))
    rows = await quality.pool.fetch(
        "SELECT status, detail, batches, manifest FROM onpoint_runs.v_combined_exports WHERE run_id = 'fails'"
    )
    assert [tuple(row) for row in rows] == [("failed", "no room \ufffd", 1, "memory://lake/manifest.json")]
    assert await listed(quality, "fails") == ["a"]
    await quality.handle(failed("fails", produced_at=NOW))  # of an earlier try
    await quality.handle(combined("fails", "b", produced_at=NOW + timedelta(seconds=2)))
    assert await listed(quality, "fails") == ["b"]


async def test_what_it_names_is_no_orphan_for_the_sweep(quality: Quality) -> None:
    await completed(quality, story("kept"))
    await quality.handle(combined("kept", "a"))
    uris = await quality.pool.fetch(
        "SELECT uri FROM onpoint_runs.v_files WHERE run_id = 'kept' AND uri LIKE '%/a'"
    )
    assert len(uris) == 1


async def test_a_result_under_the_key_of_another_run_is_refused(quality: Quality) -> None:
    record = quality.record(Outgoing(topics.EXPORTS_COMBINED, "other", combined("mine", "a").event))
    with pytest.raises(Exception, match="not its run id"):
        await quality.handlers.on_ledger_event(record)
