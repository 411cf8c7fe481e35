"""The sweep with the real ledger: runs of every state, their files in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from services.quality.workers.sweeper import Sweeper
from shared.events.models import BatchManifest
from shared.lake.settings import LakeSettings
from shared.storage import keys
from shared.storage.object_store import ObjectStore
from shared.sweep.ledger import LedgerRunIndex
from shared.sweep.ports import Upload
from shared.sweep.rules import Limits, SweepReport
from shared.sweep.settings import SweepSettings
from shared.sweep.sweep import Sweep
from tests.integration.quality.conftest import Quality
from tests.integration.quality.story import REQUESTED_AT, Batch, Story
from tests.integration.quality.test_completion import small
from tests.integration.quality.test_replay import replay

pytestmark = pytest.mark.integration

SHA256 = "0a" * 32


async def sweep(quality: Quality, later: timedelta, limits: Limits | None = None) -> SweepReport:
    runs = LedgerRunIndex(quality.pool)
    now = datetime.now(UTC) + later
    return await Sweep(quality.staging, quality.lake, runs, None, limits=limits, now=now).run()


async def put_files(quality: Quality, story: Story) -> None:
    """The files that the run's results name: an artifact per dataset in staging, lake objects, exports."""
    for name in story.datasets:
        await quality.staging.put(keys.artifact_key(story.run_id, name, "processor", SHA256, "parquet"), b"x")
        for event in story.results(name):
            assert isinstance(event.event, BatchManifest)
            for artifact in event.event.artifacts:
                await quality.lake.put(artifact.uri.removeprefix("memory://lake/"), b"x")


async def left(store: ObjectStore, prefix: str) -> list[str]:
    return [info.key async for info in store.list(prefix)]


async def test_artifacts_go_a_ttl_after_the_end_by_the_ledger_whatever_the_outcome(quality: Quality) -> None:
    failed = Story("failed", {"posts": (Batch(dead=frozenset({"loader", "s3sink"})),)})
    stories = [small("good"), failed, small("open")]
    for story in stories:
        await put_files(quality, story)
        await quality.handle(*(story.events() if story.run_id != "open" else story.events()[:-1]))
    for run_id in ("good", "failed"):
        await quality.complete(run_id)
    limits = Limits(grace=timedelta(days=400))
    assert (await sweep(quality, timedelta(days=6), limits)).total.count == 0
    report = await sweep(quality, timedelta(days=8), limits)
    assert report.removed["artifacts"].count == 3
    assert {key.split("/")[1] for key in await left(quality.staging, "runs/")} == {"open"}


async def test_a_run_that_is_being_replayed_keeps_its_artifacts_until_the_replay_has_ended(
    quality: Quality,
) -> None:
    old, new = small("old"), replay(small("new"), "old")
    await put_files(quality, old)
    await quality.handle(*old.events())
    await quality.complete("old")
    *most, last = new.events()
    await quality.handle(*most)
    assert (await sweep(quality, timedelta(days=8))).removed["artifacts"].count == 0
    await quality.handle(last)
    await quality.complete("new")
    assert (await sweep(quality, timedelta(days=8))).removed["artifacts"].count == 2


async def test_what_results_name_stays_in_the_lake_and_what_nothing_names_goes(quality: Quality) -> None:
    story = small("run")
    await put_files(quality, story)
    await quality.handle(*story.events())
    await quality.complete("run")
    stored = keys.lake_key("posts", REQUESTED_AT, "1" * 32)
    orphan = keys.lake_key("posts", REQUESTED_AT, "2" * 32)
    lost = keys.export_key("run", "posts", "csv", "000000-0", "csv.gz")
    for key in (stored, orphan, lost):
        await quality.lake.put(key, b"12")
    await quality.pool.execute(
        """
        UPDATE onpoint_runs.results SET artifacts = jsonb_build_array(jsonb_build_object('uri', $1::text))
        WHERE stage = 's3sink' AND sequence = 0 AND dataset = 'posts'
        """,
        quality.lake.uri(stored),
    )
    before = {*await left(quality.lake, "")}
    report = await sweep(quality, timedelta(days=2))
    assert before - {*await left(quality.lake, "")} == {orphan, lost}
    assert (report.removed["lake_objects"].count, report.removed["exports"].count) == (1, 1)


async def test_an_object_of_an_hour_with_an_open_run_or_a_batch_to_replay_stays(quality: Quality) -> None:
    dead = Story("dead", {"posts": (Batch(), Batch(dead=frozenset({"processor"})))})
    await quality.handle(*dead.events())
    await quality.complete("dead")
    posts, users = (keys.lake_key(name, REQUESTED_AT, "1" * 32) for name in ("posts", "users"))
    for key in (posts, users):
        await quality.lake.put(key, b"12")
    await quality.handle(*small("open").events()[:-1])
    assert (await sweep(quality, timedelta(days=400))).removed["lake_objects"].count == 0
    await quality.handle(small("open").events()[-1])
    await quality.complete("open")
    assert (await sweep(quality, timedelta(days=2))).removed["lake_objects"].count == 1
    assert await left(quality.lake, "posts/year=2026") == [posts]
    assert (await sweep(quality, timedelta(days=8))).removed["lake_objects"].count == 1


class NoUploads:
    async def open_before(self, moment: datetime) -> AsyncIterator[Upload]:  # noqa: ARG002 - the port's signature
        nothing: tuple[Upload, ...] = ()
        for upload in nothing:
            yield upload

    async def abort(self, upload: Upload) -> None:
        raise NotImplementedError


@asynccontextmanager
async def no_uploads() -> AsyncIterator[NoUploads]:
    yield NoUploads()


async def test_the_service_sweeps_by_its_settings(quality: Quality) -> None:
    await put_files(quality, small("run"))
    await quality.handle(*small("run").events())
    await quality.complete("run")
    runs = LedgerRunIndex(quality.pool)

    def sweeper(ttl_hours: int) -> Sweeper:
        settings = SweepSettings(staging_ttl_hours=ttl_hours)
        return Sweeper(quality.staging, quality.lake, runs, no_uploads, settings, LakeSettings())

    assert (await sweeper(1).sweep()).total.count == 0
    assert (await sweeper(0).sweep()).removed["artifacts"].count == 2
