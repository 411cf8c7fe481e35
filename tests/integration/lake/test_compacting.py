"""Small objects of many runs become few, and whoever follows a listing has the same rows at every moment."""

from datetime import timedelta

import pytest

from tests.support.lake import Lake

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)
DAY = timedelta(hours=25)


async def test_many_small_objects_become_one_and_every_listing_has_the_same_rows(lake: Lake) -> None:
    await lake.many(6)
    before, by_dataset = await lake.read_runs(), await lake.read_dataset()
    assert (before.num_rows, len(await lake.objects())) == (60, 6)
    report = await lake.compact()
    assert [len(one["sources"]) for one in report.compactions] == [6]
    assert report.problems == []
    await lake.catch_up()
    assert await lake.states() == ["listed"]
    [entry] = (await lake.dataset_listing())["objects"]
    assert entry["runs"] == {f"run-{number:02}": 10 for number in range(6)}
    assert {one["uri"] for run in lake.runs for one in await lake.listing(run)} == {entry["uri"]}
    assert (await lake.read_runs()).equals(before)
    assert (await lake.read_dataset()).equals(by_dataset)


async def test_the_sources_go_after_the_grace_time_and_not_before(lake: Lake) -> None:
    await lake.many(3)
    before = await lake.read_runs()
    await lake.compact()
    await lake.catch_up()
    await lake.sweep(23 * HOUR)
    assert len(await lake.objects()) == 4
    report = await lake.sweep(DAY)
    assert (report.removed["replaced"].count, report.removed["lake_objects"].count) == (3, 0)
    assert len(await lake.objects()) == 1
    assert (await lake.read_runs()).equals(before)
