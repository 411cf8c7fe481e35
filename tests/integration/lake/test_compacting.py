"""Small objects of many runs become few, and whoever follows a listing has the same rows at every moment."""

from datetime import timedelta

import asyncpg
import pytest

from services.quality.workers.compaction import ScheduledCompaction
from shared.lake.listings import DatasetListings
from shared.lake.repository import CompactionRepository
from tests.support.lake import Lake
from tests.support.processed import REQUESTED_AT

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


async def test_of_rows_with_one_key_the_newest_of_all_runs_stays(lake: Lake) -> None:
    """Run 2 has the rows 0 to 9 of run 1 again, asked for later, and run 3 some of both, asked for earlier."""
    hour = REQUESTED_AT
    await lake.run("run-1", [{"id": n, "title": "first"} for n in range(20)], requested_at=hour)
    await lake.run("run-2", [{"id": n, "title": "later"} for n in range(10)], requested_at=hour + 5 * HOUR)
    await lake.run("run-3", [{"id": n, "title": "early"} for n in range(5, 25)], requested_at=hour - DAY)
    report = await lake.compact(latest=True)
    await lake.catch_up()
    rows = (await lake.read_dataset()).to_pylist()
    assert {row["id"]: row["title"] for row in rows} == {
        **dict.fromkeys(range(20, 25), "early"),
        **dict.fromkeys(range(10, 20), "first"),
        **dict.fromkeys(range(10), "later"),
    }
    assert len(rows) == 25
    assert [(one["rows_before"], one["rows"]) for one in report.compactions] == [(20, 5), (20, 10)]
    assert (await lake.read_runs()).num_rows == 25
    again = await lake.compact(latest=True)
    assert again.compactions == []


async def test_a_role_with_the_documented_rights_and_no_others_can_compact(
    lake: Lake, postgres_dsn: str
) -> None:
    """As docs/lake.md names them."""
    await lake.many(3)
    before = await lake.read_runs()
    await lake.pool.execute(
        """
        CREATE ROLE lake_keeper;
        GRANT USAGE ON SCHEMA onpoint_lake, onpoint_runs TO lake_keeper;
        GRANT SELECT, INSERT, UPDATE, DELETE ON onpoint_lake.compactions, onpoint_lake.compaction_sources,
            onpoint_lake.compaction_runs, onpoint_lake.dataset_listings TO lake_keeper;
        GRANT SELECT ON onpoint_lake.v_stored_files, onpoint_lake.v_replaced_files, onpoint_lake.v_compacted_files,
            onpoint_runs.v_listings, onpoint_runs.v_runs TO lake_keeper;
        GRANT EXECUTE ON FUNCTION onpoint_lake.mark_changed(text[]), onpoint_runs.mark_listings_behind(text[])
            TO lake_keeper;
        """
    )
    own = lake.pool

    async def become(connection: asyncpg.Connection | asyncpg.pool.PoolConnectionProxy) -> None:
        await connection.execute("SET ROLE lake_keeper")

    try:
        async with asyncpg.create_pool(postgres_dsn, setup=become, min_size=1, max_size=4) as pool:
            lake.pool, lake.listings = pool, DatasetListings(pool, lake.lake)
            report = await lake.compact()
    finally:
        lake.pool, lake.listings = own, DatasetListings(own, lake.lake)
        await own.execute("DROP OWNED BY lake_keeper; DROP ROLE lake_keeper")
    assert (len(report.compactions), report.problems) == (1, [])
    await lake.catch_up()
    assert (await lake.read_runs()).equals(before)


async def test_quality_compacts_every_dataset_on_its_schedule(lake: Lake) -> None:
    await lake.many(3)
    repository = CompactionRepository(lake.pool)
    report = await ScheduledCompaction(repository, lake.compactor, 3600).compact()
    assert [len(one["sources"]) for one in report.compactions] == [3]


async def test_a_dry_run_changes_nothing(lake: Lake) -> None:
    await lake.many(3)
    keys = await lake.objects()
    report = await lake.compact(dry_run=True)
    assert [len(one["sources"]) for one in report.compactions] == [3]
    assert (await lake.states(), await lake.objects()) == ([], keys)
