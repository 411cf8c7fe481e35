"""The remarks of the stages are in a run's warnings, once, whatever the fate of its rows."""

from typing import Any

import pytest

from shared.bus.messages import Outgoing
from shared.events.models import BatchManifest, Counts
from tests.integration.quality.conftest import Quality
from tests.integration.quality.story import Batch, Story

pytestmark = pytest.mark.integration

KEYLESS: dict[str, Any] = {
    "counts": Counts(read=100, rejected=100),
    "rejected_by_reason": {"no_key": 100},
    "absent": ("id",),
    "unnamed": ("idd",),
}


def changed(events: list[Outgoing], stage: str, sequence: int | None = None, **fields: Any) -> list[Outgoing]:
    """The same events, a stage's results with other fields."""

    def is_meant(event: object) -> bool:
        return (
            isinstance(event, BatchManifest) and event.stage == stage and sequence in (None, event.sequence)
        )

    return [
        Outgoing(each.topic, each.key, each.event.model_copy(update=fields)) if is_meant(each.event) else each
        for each in events
    ]


async def test_remarks_of_the_crawler_are_warnings_each_once(quality: Quality) -> None:
    story = Story(
        "remarked", {"posts": (Batch(clean=True), Batch(clean=True)), "users": (Batch(clean=True),)}
    )
    events = changed(story.events(), "crawler", detail="the header X has many\n0 records: null")
    await quality.handle(*events)
    completed = await quality.complete("remarked")
    assert completed.status == "succeeded"
    assert completed.warnings == (
        "posts: 0 records: null",
        "posts: the header X has many",
        "users: 0 records: null",
        "users: the header X has many",
    )


async def test_a_detail_of_a_dead_batch_is_not_a_remark(quality: Quality) -> None:
    story = Story("dead", {"posts": (Batch(clean=True), Batch(dead=frozenset({"crawler"})))})
    await quality.handle(*story.events())
    assert (await quality.complete("dead")).warnings == ()


async def test_a_key_that_no_record_has_is_told_though_no_row_was_accepted(quality: Quality) -> None:
    story = Story("keyless", {"posts": (Batch(clean=True), Batch(clean=True))})
    await quality.handle(*changed(story.events(), "processor", **KEYLESS))
    completed = await quality.complete("keyless")
    told = "posts: no record has the field id, which the key id needs; the nearest that they have is idd"
    assert completed.warnings == (told,)


async def test_a_key_that_some_batch_has_is_not_absent(quality: Quality) -> None:
    story = Story("partly", {"posts": (Batch(clean=True), Batch(clean=True))})
    await quality.handle(*changed(story.events(), "processor", 1, **KEYLESS))
    assert (await quality.complete("partly")).warnings == ()
