"""Bad requests, sources, records, events: the run ends with a reason and keeps what is good; row accounting matches."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.e2e.test_whole_way import assert_row_accounting, new_run
from tests.support import source as faults
from tests.support.pipeline import Pipeline
from tests.support.records import TestData
from tests.support.source import SourceServer

pytestmark = pytest.mark.e2e


@pytest.fixture
async def unhealthy(source: SourceServer) -> AsyncIterator[SourceServer]:
    yield source
    source.heal()


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"datasets": ["potss"]}, "potss"),
        ({"datasets": []}, "datasets"),
        ({"datasets": "posts"}, "datasets"),
        ({}, "datasets"),
        ({"datasets": [1]}, "datasets"),
        ({"datasets": ["posts"], "parameters": {"posts": {"limit": -1}}}, "limit"),
        ({"datasets": ["posts"], "parameters": {"posts": {"limit": "ten"}}}, "limit"),
        ({"datasets": ["posts"], "parameters": {"users": {"limit": 1}}}, "users"),
        ({"datasets": ["posts"], "formats": ["docx"]}, "docx"),
        ({"datasets": ["posts"], "more": True}, "more"),
        ({"datasets": ["posts"], "version": 99}, "version"),
    ],
    ids=str,
)
async def test_a_wrong_request_ends_at_once_as_failed_with_a_reason(
    pipeline: Pipeline, request_: dict[str, Any], words: str
) -> None:
    done = await pipeline.run({"run_id": new_run(), **request_}, within_s=15)
    assert done["status"] == "failed"
    assert words in done["reason"]
    assert done["datasets"] == {}


@pytest.mark.parametrize("run_id", ["a/b", "../up", "", "ü", "x" * 129, 5, "a b"], ids=repr)
async def test_an_odd_run_id_ends_under_a_derived_one(pipeline: Pipeline, run_id: Any) -> None:
    async with pipeline.completions() as completions:
        await pipeline.request({"run_id": run_id, "datasets": ["posts"]})
        done = await completions.matching("run_id", 15)
    assert done["status"] == "failed"
    assert done["run_id"].startswith("r-")


async def test_the_same_run_id_twice_is_one_run_and_the_first_request_counts(pipeline: Pipeline) -> None:
    run_id = new_run()
    async with pipeline.completions() as completions:
        await pipeline.request({"run_id": run_id, "datasets": ["albums"]})
        await pipeline.request({"run_id": run_id, "datasets": ["users", "todos"]})
        await completions.of(run_id, 30)
        seen = [value for value in await completions.for_a_while(3) if value["run_id"] == run_id]
    assert len(seen) == 1
    assert list(seen[0]["datasets"]) == ["albums"]


@pytest.mark.parametrize(
    "value", [b"", b"{", b"[]", b"null", b'"posts"', b"\xff\xfe", b'{"datasets": NaN}', None]
)
async def test_what_is_not_a_request_goes_to_the_dead_letters_and_stops_nothing(
    pipeline: Pipeline, value: bytes | None
) -> None:
    key = new_run().encode()
    await pipeline.publish("crawl.requested", value, key=key)
    await pipeline.run({"run_id": new_run(), "datasets": ["users"]}, within_s=30)
    assert [dead_letter.value for dead_letter in await pipeline.dead_letters("crawler", key)] == [value]


async def test_a_source_that_is_down_fails_the_run_which_names_it(
    pipeline: Pipeline, unhealthy: SourceServer
) -> None:
    unhealthy.fail("/todos", faults.status(503))
    done = await pipeline.run({"run_id": new_run(), "datasets": ["todos", "albums"]}, within_s=60)
    # Nothing of todos arrived, and its file wants one row at least.
    assert done["status"] == "failed"
    assert "todos" in done["reason"]
    (dead,) = done["dead"]
    assert (dead["dataset"], dead["stage"]) == ("todos", "crawler")
    (missing,) = done["missing"]
    assert "/todos" in missing["url"]
    assert "503" in missing["reason"]
    assert_row_accounting(done["datasets"]["todos"])
    assert done["datasets"]["albums"]["rows_loaded"] == 100


@pytest.mark.parametrize(
    "fault", [faults.html(), faults.truncated(), faults.body(b"[{]")], ids=["html", "cut", "bad"]
)
async def test_a_source_that_answers_no_json_fails_the_run(
    pipeline: Pipeline, unhealthy: SourceServer, fault: faults.Fault
) -> None:
    unhealthy.fail("/todos", fault)
    done = await pipeline.run({"run_id": new_run(), "datasets": ["todos"]}, within_s=60)
    assert done["status"] == "failed"
    assert done["reason"]
    assert_row_accounting(done["datasets"]["todos"])


async def test_a_page_that_is_missing_makes_the_run_partial_and_the_rest_arrives(
    pipeline: Pipeline, unhealthy: SourceServer, test_data: TestData
) -> None:
    unhealthy.fail("/comments?_page=2&_limit=100", faults.status(500))
    run_id = new_run()
    done = await pipeline.run({"run_id": run_id, "datasets": ["comments"]}, within_s=60)
    assert done["status"] == "partial"
    (missing,) = done["missing"]
    assert "_page=2" in missing["url"]
    expected = test_data.expected("comments")
    assert pipeline.lake_rows(run_id, "comments") == expected[:100] + expected[200:]
    assert done["datasets"]["comments"]["rows_rejected"] == 0
    assert_row_accounting(done["datasets"]["comments"])


GOOD = {"userId": 1, "id": 7_000_001, "title": "good", "body": "b"}


async def test_bad_rows_are_refused_with_their_reasons_and_the_good_ones_arrive(
    pipeline: Pipeline, unhealthy: SourceServer
) -> None:
    rows = [
        json.dumps(GOOD),
        json.dumps({**GOOD, "id": None}),
        json.dumps({"userId": 1, "title": "no key"}),
        json.dumps({**GOOD, "id": 7_000_002, "title": 5}),
        json.dumps({**GOOD, "id": "7000003"}),
        json.dumps({**GOOD, "id": 7_000_004, "title": "a\x00b"}),
        '{"userId": 1, "id": 7000005, "title": "\\ud800", "body": ""}',
        json.dumps({**GOOD, "id": 2**63}),
        json.dumps({**GOOD, "id": 2**70}),
        "null",
        "[1]",
        json.dumps({**GOOD, "id": 7_000_006, "title": "first"}),
        json.dumps({**GOOD, "id": 7_000_006, "title": "last", "extra": [1]}),
        json.dumps({**GOOD, "id": 7_000_007, "title": 'ünï\u2028\\ "q"', "body": None}),
    ]
    body = ("[" + ",\n".join(rows) + "]").encode()
    unhealthy.fail("/posts", faults.body(body, X_Total_Count=str(len(rows))))
    run_id = new_run()
    done = await pipeline.run({"run_id": run_id, "datasets": ["posts"]}, within_s=60)
    summary = done["datasets"]["posts"]
    assert_row_accounting(summary)
    assert (summary["rows_crawled"], summary["rows_accepted"]) == (14, 3)
    assert (summary["rows_rejected"], summary["rows_deduplicated"]) == (10, 1)
    assert done["status"] == "partial"
    expected = [
        (7_000_001, 1, "good", "b"),
        (7_000_006, 1, "last", "b"),
        (7_000_007, 1, 'ünï\u2028\\ "q"', None),
    ]
    assert await pipeline.rows("posts", f"_run_id = '{run_id}'") == expected
    assert pipeline.lake_rows(run_id, "posts") == expected
    reasons = {line["source_position"]: line["reason"] for line in pipeline.quarantine(run_id, "posts")}
    assert reasons == {
        1: "no_key",
        2: "no_key",
        3: "type",
        4: "type",
        5: "nul",
        6: "encoding",
        7: "range",
        8: "range",
        9: "empty",
        10: "type",
    }
    await pipeline.fetch("DELETE FROM onpoint_posts WHERE id > 7000000")


async def test_a_key_in_two_batches_is_one_row_and_one_superseded(
    pipeline: Pipeline, unhealthy: SourceServer, test_data: TestData
) -> None:
    """A page that shifted while it was crawled: the lake keeps both, PostgreSQL the later in source order."""
    stories = test_data.with_stories(1200).records["stories"][:1200]
    first, late = stories[0], stories[1100]
    ids = [story["id"] for story in stories]
    unhealthy.fail("/v0/topstories.json", faults.body(json.dumps(ids).encode()))
    added = {story["id"]: story for story in stories[len(test_data.records["stories"]) :]}
    for id_, story in {**added, late["id"]: {**first, "title": "the later one"}}.items():
        unhealthy.fail(f"/v0/item/{id_}.json", faults.body(json.dumps(story).encode()))
    run_id = new_run()
    done = await pipeline.run({"run_id": run_id, "datasets": ["stories"]}, within_s=90)
    summary = done["datasets"]["stories"]
    assert_row_accounting(summary)
    assert (summary["batches"], summary["rows_accepted"], summary["rows_superseded"]) == (2, 1200, 1)
    (row,) = await pipeline.rows("stories", f"_run_id = '{run_id}' AND id = {first['id']}")
    assert row[4] == "the later one"
    assert len(pipeline.lake_rows(run_id, "stories")) == 1200
    await pipeline.fetch(f"DELETE FROM onpoint_stories WHERE _run_id = '{run_id}'")


async def test_an_empty_source_is_a_success_with_zeros_unless_a_check_wants_more(
    pipeline: Pipeline, unhealthy: SourceServer
) -> None:
    unhealthy.fail("/albums", faults.body(b"[]", X_Total_Count="0"))
    done = await pipeline.run({"run_id": new_run(), "datasets": ["albums"]}, within_s=30)
    summary = done["datasets"]["albums"]
    assert (summary["rows_crawled"], summary["rows_loaded"], summary["objects_stored"]) == (0, 0, 0)
    assert done["status"] == "failed"
    assert "row_count" in done["reason"]


@pytest.mark.parametrize(
    ("topic", "service"),
    [
        ("crawl.batch.requested", "crawler"),
        ("batch.crawled", "processor"),
        ("batch.processed", "converter"),
        ("batch.processed", "loader"),
        ("batch.processed", "s3sink"),
        ("batch.loaded", "quality"),
        ("run.sealed", "s3sink"),
        ("run.drained", "quality"),
    ],
)
async def test_a_malformed_event_becomes_a_dead_letter_and_stops_no_partition(
    pipeline: Pipeline, topic: str, service: str
) -> None:
    key = new_run().encode()
    bad = [b"{", b"", None, b"[]", b'{"version": 99}', b'{"run_id": "../x"}', b"\xff"]
    for value in bad:
        await pipeline.publish(topic, value, key=key)
    done = await pipeline.run({"run_id": new_run(), "datasets": ["users"]}, within_s=30)
    assert done["status"] == "succeeded"
    async with asyncio.timeout(15):
        while len(dead_letters := await pipeline.dead_letters(service, key)) < len(bad):
            await asyncio.sleep(0.2)
    assert sorted(dead_letter.value or b"-" for dead_letter in dead_letters) == sorted(
        value or b"-" for value in bad
    )
