"""A run that copies the results of another: nothing is crawled, and each batch is as it was."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from services.processor.service import ProcessorService
from shared.datasets.catalog import load_catalog
from shared.errors import PermanentError
from shared.events import topics
from shared.events.ids import batch_id
from shared.events.models import BatchManifest, Counts, CrawlRequest, ReplayWork
from shared.reasons import Reason
from shared.stages.failures import dead_manifest
from shared.stages.results import Batches
from shared.storage import keys
from tests.support import source as faults
from tests.support.crawler import PAGES, Crawler, crawler_of, dataset_of, environment_for
from tests.support.datasets import datasets_of
from tests.support.source import SourceServer

STAGES = ("processor", "converter", "loader", "s3sink")
POSTS: list[Any] = [{"userId": 1, "id": n, "title": f"title {n}", "body": None} for n in range(1, 121)]


@dataclass
class Stage:
    """A crawler and a processor over one store."""

    source: SourceServer
    crawler: Crawler
    processor: ProcessorService

    async def run(self, value: dict[str, Any]) -> list[BatchManifest]:
        """A whole run; what the processor made of its batches."""
        self.crawler.events.clear()
        await self.crawler.run(value)
        return [await self.processor.process(each) for each in self.crawler.batches if each.status == "done"]

    async def content(self, manifest: BatchManifest) -> list[bytes]:
        found = [
            await self.crawler.staging.get(self.crawler.staging.key(artifact.uri, ""))
            for artifact in manifest.artifacts
        ]
        return [data for data in found if data is not None]

    async def refused(self, value: dict[str, Any]) -> str:
        [planned] = await self.crawler.ask(value)
        assert planned.topic == topics.CRAWL_PLANNED
        request: CrawlRequest = planned.event.request  # type: ignore[attr-defined]  # by its topic
        assert request.datasets == ()
        return request.refused or ""


@asynccontextmanager
async def stages(rows: Sequence[Any] = POSTS) -> AsyncIterator[Stage]:
    async with (
        SourceServer({"posts": rows, "users": [], "stories": []}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        catalog = load_catalog(environment=environment_for(source.url))
        yield Stage(
            source, crawler, ProcessorService(Batches(crawler.staging, "processor"), datasets_of(catalog))
        )


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with stages() as made:
        yield made


async def test_a_replay_from_the_processor_has_the_same_raw_lines_and_asks_no_source(stage: Stage) -> None:
    await stage.run({"run_id": "old", "datasets": ["posts"]})
    [old] = stage.crawler.batches
    asked = len(stage.source.seen)
    await stage.run({"run_id": "new", "replay_of": "old", "from_stage": "processor"})
    [planned] = stage.crawler.planned
    assert (planned.run_id, planned.batches, planned.rows) == ("new", 1, 120)
    assert (planned.request.replay_of, planned.request.from_stage) == ("old", "processor")
    assert planned.request.datasets == ("posts",)
    assert [unit.work for unit in stage.crawler.units][1:] == [
        ReplayWork(run_id="old", sequence=0, stage="crawler")
    ]
    [new] = stage.crawler.batches
    assert (new.run_id, new.batch_id, new.sequence) == ("new", batch_id("new", "posts", 0), 0)
    assert (new.stage, new.status, new.counts, new.first_position) == ("crawler", "done", old.counts, 0)
    assert new.parent_batch_ids == (old.batch_id,)
    assert [artifact.sha256 for artifact in new.artifacts] == [artifact.sha256 for artifact in old.artifacts]
    assert all("/runs/new/posts/crawler/" in artifact.uri for artifact in new.artifacts)
    assert await stage.content(new) == await stage.content(old)
    assert len(stage.source.seen) == asked


@pytest.mark.parametrize("from_stage", STAGES[1:])
async def test_a_replay_from_a_later_stage_copies_the_clean_rows_and_their_counts(
    stage: Stage, from_stage: str
) -> None:
    stage.source.fail("/posts", faults.records([*POSTS, {"id": "x"}, POSTS[0]], X_Total_Count="122"))
    [old] = await stage.run({"run_id": "old", "datasets": ["posts"]})
    assert (old.counts.rejected, old.counts.deduplicated) == (1, 1)
    asked = len(stage.source.seen)
    [processed] = await stage.run({"run_id": "new", "replay_of": "old", "from_stage": from_stage})
    [new] = stage.crawler.batches
    assert new.counts == old.counts == processed.counts
    assert new.artifacts[0].format == "parquet"
    assert await stage.content(new) == await stage.content(old)
    assert (await stage.content(processed))[1] == (await stage.content(old))[1], "the quarantine is the same"
    assert len(stage.source.seen) == asked


async def test_a_replay_of_some_datasets_has_those_and_the_formats_of_the_old_run(stage: Stage) -> None:
    await stage.run({"run_id": "old", "datasets": ["posts", "users"], "formats": ["csv"]})
    await stage.run({"run_id": "a", "replay_of": "old", "from_stage": "loader", "datasets": ["posts"]})
    [planned] = stage.crawler.planned
    assert (planned.request.datasets, planned.request.formats) == (("posts",), ("csv",))
    await stage.run({"run_id": "b", "replay_of": "old", "from_stage": "loader", "formats": []})
    assert [(p.dataset, p.request.formats) for p in stage.crawler.planned] == [("posts", ()), ("users", ())]


@pytest.mark.parametrize("stages_", [("loader", "loader"), ("processor", "s3sink"), ("s3sink", "processor")])
async def test_a_replay_of_a_replay_has_the_same_rows(stage: Stage, stages_: tuple[str, str]) -> None:
    [old] = await stage.run({"run_id": "a", "datasets": ["posts"]})
    await stage.run({"run_id": "b", "replay_of": "a", "from_stage": stages_[0]})
    [last] = await stage.run({"run_id": "c", "replay_of": "b", "from_stage": stages_[1]})
    assert last.counts == old.counts
    [crawled] = stage.crawler.batches
    # Raw lines are taken from where they are; what the processor made is taken from the run that is replayed.
    assert crawled.artifacts[0].format == ("jsonl.zst" if stages_[1] == "processor" else "parquet")
    work = stage.crawler.units[-1].work
    assert isinstance(work, ReplayWork)
    assert work.run_id == ("a" if stages_[1] == "processor" else "b")


async def test_a_chain_is_replayed_with_as_many_batches_as_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.crawler.domain.plans.BATCH_REQUESTS", 2)
    async with SourceServer({"things": [{"id": n} for n in range(45)]}, total_header=None) as source:
        datasets = {"things": dataset_of(source.url, PAGES)}
        async with crawler_of(source.url, allow=source.allow, datasets=datasets) as crawler:
            await crawler.run({"run_id": "old", "datasets": ["things"]})
            old = crawler.batches
            assert len(old) == 3
            asked = len(source.seen)
            crawler.events.clear()
            await crawler.run({"run_id": "new", "replay_of": "old", "from_stage": "processor"})
            assert [planned.batches for planned in crawler.planned] == [3]
            assert [(m.sequence, m.first_position, m.next) for m in crawler.batches] == [
                (0, 0, None),
                (1, 20, None),
                (2, 40, None),
            ]
            assert [await crawler.rows(m) for m in crawler.batches] == [await crawler.rows(m) for m in old]
            assert len(source.seen) == asked


async def test_a_chain_that_broke_off_has_one_batch_more_and_that_one_is_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.crawler.domain.plans.BATCH_REQUESTS", 2)
    async with SourceServer({"things": [{"id": n} for n in range(45)]}, total_header=None) as source:
        datasets = {"things": dataset_of(source.url, PAGES)}
        async with crawler_of(source.url, allow=source.allow, datasets=datasets) as crawler:
            await crawler.run({"run_id": "old", "datasets": ["things"]})
            last = batch_id("old", "things", 2)
            await crawler.staging.delete(keys.manifest_key("old", "things", "crawler", last))
            crawler.events.clear()
            await crawler.run({"run_id": "new", "replay_of": "old", "from_stage": "processor"})
            assert [(m.status, m.reason) for m in crawler.batches] == [
                ("done", None),
                ("done", None),
                ("dead", Reason.OBJECT_MISSING),
            ]


async def test_a_batch_that_is_dead_there_is_dead_here_for_the_same_reason(stage: Stage) -> None:
    stage.source.fail("/posts", faults.status(404), after=1)
    await stage.run({"run_id": "old", "datasets": ["posts"]})
    [old] = stage.crawler.batches
    for from_stage in ("processor", "loader"):
        await stage.run({"run_id": from_stage, "replay_of": "old", "from_stage": from_stage})
        [dead] = stage.crawler.batches
        assert (dead.status, dead.reason, dead.missing) == ("dead", Reason.FETCH, old.missing)
        assert dead.counts == old.counts
        assert "dead in run old at the crawler: every request failed" in (dead.detail or "")


async def test_a_batch_that_died_at_the_processor_is_dead_with_all_its_rows(stage: Stage) -> None:
    await stage.crawler.run({"run_id": "old", "datasets": ["posts"]})
    [crawled] = stage.crawler.batches
    dead = dead_manifest(crawled, "processor", PermanentError(Reason.HANDLER, "a bug"))
    await Batches(stage.crawler.staging, "processor").commit(dead)
    await stage.run({"run_id": "new", "replay_of": "old", "from_stage": "loader"})
    [new] = stage.crawler.batches
    assert (new.status, new.reason, new.counts) == ("dead", Reason.HANDLER, Counts(read=120, rejected=120))
    [processed] = await stage.run({"run_id": "fixed", "replay_of": "old", "from_stage": "processor"})
    assert processed.counts.accepted == 120


async def test_a_run_that_was_cancelled_does_not_cancel_its_replay(stage: Stage) -> None:
    planned = await stage.crawler.handle(
        (await stage.crawler.ask({"run_id": "old", "datasets": ["posts"]}))[0]
    )
    await stage.crawler.staging.put(keys.cancel_key("old"), b"")
    await stage.crawler.drive(planned)
    await stage.run({"run_id": "new", "replay_of": "old", "from_stage": "processor"})
    [dead] = stage.crawler.batches
    assert (dead.status, dead.reason) == ("dead", Reason.OBJECT_MISSING)
    assert "was cancelled" in (dead.detail or "")


@pytest.mark.parametrize("from_stage", ["processor", "loader"])
async def test_artifacts_that_were_swept_make_the_batch_dead_with_the_rows_it_had(
    stage: Stage, from_stage: str
) -> None:
    [processed] = await stage.run({"run_id": "old", "datasets": ["posts"]})
    for manifest in (stage.crawler.batches[0], processed):
        for artifact in manifest.artifacts:
            await stage.crawler.staging.delete(stage.crawler.staging.key(artifact.uri, ""))
    await stage.run({"run_id": "new", "replay_of": "old", "from_stage": from_stage})
    [dead] = stage.crawler.batches
    assert (dead.status, dead.reason) == ("dead", Reason.OBJECT_MISSING)
    assert dead.counts == Counts(read=120, rejected=120)
    assert len(stage.crawler.dead_letters) == 1


async def test_a_run_whose_plan_or_results_are_gone_has_one_dead_batch_with_the_reason(stage: Stage) -> None:
    await stage.crawler.run({"run_id": "unprocessed", "datasets": ["posts"]})
    await stage.run({"run_id": "a", "replay_of": "unprocessed", "from_stage": "loader"})
    assert [m.detail for m in stage.crawler.batches] == [
        "run unprocessed has no result of its batch 0 at the processor"
    ]
    await stage.crawler.ask({"run_id": "unplanned", "datasets": ["posts"]})
    await stage.run({"run_id": "b", "replay_of": "unplanned", "from_stage": "loader"})
    assert [(m.reason, m.detail) for m in stage.crawler.batches] == [
        (
            Reason.OBJECT_MISSING,
            "there is no plan: run unplanned has no plan of posts: it was never made, or is gone",
        )
    ]


async def test_an_empty_run_is_replayed_as_an_empty_one(stage: Stage) -> None:
    await stage.run({"run_id": "old", "datasets": ["users"]})
    await stage.run({"run_id": "new", "replay_of": "old", "from_stage": "s3sink"})
    assert [(p.dataset, p.batches) for p in stage.crawler.planned] == [("users", 0)]


async def test_each_event_of_a_replay_twice_gives_the_same_result(stage: Stage) -> None:
    await stage.run({"run_id": "old", "datasets": ["posts"]})
    [plan_unit] = await stage.crawler.ask({"run_id": "new", "replay_of": "old", "from_stage": "loader"})
    *_, unit = await stage.crawler.handle(plan_unit)
    first = await stage.crawler.handle(unit)
    *_, unit_again = await stage.crawler.handle(plan_unit)
    assert unit_again == unit
    assert await stage.crawler.handle(unit) == first


async def test_what_cannot_be_replayed_is_refused_with_a_reason(stage: Stage) -> None:
    await stage.run({"run_id": "old", "datasets": ["posts"]})
    await stage.crawler.ask({"run_id": "wrong", "datasets": ["nonsense"]})
    replay = {"run_id": "new", "replay_of": "old", "from_stage": "loader"}
    for changes, reason in (
        ({"replay_of": "stranger"}, "replay_of: run stranger is not known"),
        ({"replay_of": "wrong"}, "replay_of: run wrong was refused"),
        ({"datasets": ["posts", "users"]}, "datasets: run old has no 'users', only posts"),
        ({"datasets": []}, "datasets: the list is empty"),
        ({"datasets": "posts"}, "datasets: a list of names is expected"),
        ({"parameters": {"posts": {"limit": 1}}}, "parameters: a replay asks no source"),
        ({"formats": ["docx"]}, "'docx' is not supported"),
        ({"from_stage": "crawler"}, "from_stage: one of processor, converter, loader, s3sink is expected"),
    ):
        name = json.dumps(changes)
        refused = await stage.refused({**replay, "run_id": f"new-{abs(hash(name))}", **changes})
        assert reason in refused
