"""New files need no restart, and a run goes by the file that it was accepted with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.crawler.http.rate_limit import SourceThrottle
from services.crawler.service.datasets import CrawlDatasets
from shared.datasets.folder import DatasetFolder
from shared.datasets.frozen import RunDatasets, dump
from shared.events.models import CrawlPlanned
from shared.storage import keys
from tests.support.crawler import Crawler, crawler_of, dataset_of
from tests.support.source import SourceServer

NAMES = [{"id": n, "name": f"n{n}"} for n in range(3)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@asynccontextmanager
async def crawler_with(folder: Path) -> AsyncIterator[tuple[Crawler, SourceServer, SourceThrottle]]:
    """A crawler whose files are in the folder."""
    async with SourceServer({"late": NAMES}) as source, crawler_of(source.url, allow=source.allow) as crawler:
        files = DatasetFolder(folder, {})
        throttle = SourceThrottle()
        datasets = CrawlDatasets(files.read, RunDatasets(crawler.staging, files.read), throttle.use_limits_of)
        service = crawler.handlers.service  # the rest is as in every test
        service._datasets = service._batch_crawl._datasets = datasets  # noqa: SLF001
        yield crawler, source, throttle


def write(
    folder: Path, source: SourceServer, *, path: str = "/late", concurrency: int = 5, more: str = ""
) -> None:
    (folder / "late.yaml").write_text(
        f"""\
name: late
source: {{name: src_late, kind: api, base_url: "{source.url}", path: {path}, pagination: {{kind: none}},
  requests_per_second: 0, concurrency: {concurrency}}}
table: c_late
key: [id]
columns:
  - {{name: id, type: int64}}
  - {{name: name, type: string}}
{more}"""
    )


async def refusal(crawler: Crawler, run_id: str) -> str:
    [planned] = await crawler.ask({"run_id": run_id, "datasets": ["late"]})
    assert isinstance(planned.event, CrawlPlanned)
    return planned.event.request.refused or ""


async def test_a_dataset_that_is_added_while_the_crawler_runs_is_crawled(folder: Path) -> None:
    async with crawler_with(folder) as (crawler, source, throttle):
        assert "'late' is not known" in await refusal(crawler, "early")
        write(folder, source, concurrency=3)
        await crawler.run({"run_id": "r", "datasets": ["late"]})
        assert await crawler.rows(crawler.batches[-1]) == NAMES
        assert throttle._most["src_late"] == 3  # noqa: SLF001 - what the throttle has learnt


async def test_a_request_for_a_bad_file_is_refused_with_file_line_and_reason(folder: Path) -> None:
    async with crawler_with(folder) as (crawler, source, _):
        write(folder, source, more="chekcs: []\n")
        message = await refusal(crawler, "r")
        assert (
            f"datasets: late cannot be crawled: {folder}/late.yaml:9: there is no field `chekcs`" in message
        )
        assert "did you mean `checks`?" in message
        await crawler.ask({"run_id": "other", "datasets": ["posts"]})
        assert await crawler.staging.get(keys.dataset_key("other", "posts")) is not None


async def test_the_file_is_stored_with_the_run_before_its_plan_is_made(folder: Path) -> None:
    async with crawler_with(folder) as (crawler, source, _):
        write(folder, source)
        waiting = await crawler.ask({"run_id": "r", "datasets": ["late"]})
        assert await crawler.staging.get(keys.plan_key("r", "late")) is None
        write(folder, source, path="/elsewhere")
        await crawler.drive(waiting)
        assert await crawler.rows(crawler.batches[-1]) == NAMES
        assert {request.path for request in source.seen} == {"/late"}


@pytest.mark.parametrize("change", ["removed", "broken", "half"])
async def test_a_run_that_is_on_its_way_does_not_need_the_file_any_more(folder: Path, change: str) -> None:
    async with crawler_with(folder) as (crawler, source, _):
        write(folder, source)
        waiting = await crawler.ask({"run_id": "r", "datasets": ["late"]})
        path = folder / "late.yaml"
        if change == "removed":
            path.unlink()
        else:
            path.write_text("name: [" if change == "broken" else path.read_text()[:60])
        await crawler.drive(waiting)
        assert await crawler.rows(crawler.batches[-1]) == NAMES


async def test_the_first_file_counts_however_often_the_run_is_asked_for(folder: Path) -> None:
    async with crawler_with(folder) as (crawler, source, _):
        write(folder, source)
        await crawler.ask({"run_id": "r", "datasets": ["late"]})
        first = await crawler.staging.get(keys.dataset_key("r", "late"))
        write(folder, source, path="/elsewhere")
        await crawler.ask({"run_id": "r", "datasets": ["late"]})
        assert await crawler.staging.get(keys.dataset_key("r", "late")) == first


async def test_a_replay_takes_the_file_of_the_replayed_run(folder: Path) -> None:
    async with crawler_with(folder) as (crawler, source, _):
        write(folder, source)
        await crawler.run({"run_id": "old", "datasets": ["late"]})
        write(folder, source, more="  - {name: more, type: string}\n")
        await crawler.run({"run_id": "new", "replay_of": "old", "from_stage": "processor"})
        old, new = [await crawler.staging.get(keys.dataset_key(run_id, "late")) for run_id in ("old", "new")]
        assert old == new
        (folder / "late.yaml").unlink()
        await crawler.run({"run_id": "third", "replay_of": "new", "from_stage": "processor"})
        assert await crawler.staging.get(keys.dataset_key("third", "late")) == old
        assert crawler.planned[-1].request.refused is None


async def test_a_replay_of_an_older_version_s_run_takes_today_s_file(folder: Path) -> None:
    async with crawler_with(folder) as (crawler, source, _):
        write(folder, source)
        await crawler.run({"run_id": "old", "datasets": ["late"]})
        await crawler.staging.delete(keys.dataset_key("old", "late"))
        crawler.handlers.service._datasets._stored._known.clear()  # noqa: SLF001 - as after a restart
        write(folder, source, more="  - {name: more, type: string}\n")
        await crawler.run({"run_id": "new", "replay_of": "old", "from_stage": "processor"})
        assert b'"more"' in (await crawler.staging.get(keys.dataset_key("new", "late")) or b"")


async def test_the_files_of_a_run_that_an_older_version_accepted_are_stored_with_its_plan(
    folder: Path,
) -> None:
    async with crawler_with(folder) as (crawler, source, _):
        write(folder, source)
        waiting = await crawler.ask({"run_id": "r", "datasets": ["late"]})
        await crawler.staging.delete(keys.dataset_key("r", "late"))
        crawler.handlers.service._datasets._stored._known.clear()  # noqa: SLF001 - as after a restart
        await crawler.drive(waiting)
        assert await crawler.staging.get(keys.dataset_key("r", "late")) is not None


async def test_the_environment_s_replacements_of_that_moment_are_stored() -> None:
    dataset = dataset_of("http://127.0.0.1:9", {"kind": "none"}, requests_per_second=7)
    assert b"http://127.0.0.1:9" in dump(dataset)
    assert b'"requests_per_second":7' in dump(dataset)
