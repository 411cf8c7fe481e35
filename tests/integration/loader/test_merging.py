"""The newest record of each key stays, in whatever order batches come."""

import asyncio
import itertools
from collections.abc import Mapping
from datetime import timedelta

import asyncpg
import pytest

from services.loader.adapters import statements
from services.loader.adapters.merging import merge
from services.loader.domain import Merge
from services.loader.service import LoaderService
from shared.datasets.catalog import Catalog
from shared.datasets.model import Dataset
from shared.events.models import Counts
from shared.storage.object_store import ObjectStore
from tests.integration.loader.loaded import pair, rows_of
from tests.support.processed import PRODUCED_AT, REQUESTED_AT, put_processed

pytestmark = pytest.mark.integration

LATER = REQUESTED_AT + timedelta(hours=1)


async def test_an_older_run_that_is_loaded_later_loses(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    newer = await put_processed(staging, catalog["pairs"], [pair("new")], run_id="b", requested_at=LATER)
    older = await put_processed(
        staging, catalog["pairs"], [pair("old"), pair("only", user=2)], run_id="a", requested_at=REQUESTED_AT
    )
    assert (await service.load(newer)).counts == Counts(read=1, loaded=1)
    assert (await service.load(older)).counts == Counts(read=2, loaded=1, superseded=1)
    assert [row["value"] for row in await rows_of(pool, "onpoint_pairs", "user")] == ["new", "only"]


async def test_a_newer_run_replaces_every_column_and_counts_as_loaded(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    older = await put_processed(staging, catalog["pairs"], [pair("old")], run_id="z")
    newer = await put_processed(
        staging,
        catalog["pairs"],
        [{"group": "a", "user": 1}],
        run_id="a",
        requested_at=LATER,
        first_position=3,
    )
    await service.load(older)
    assert (await service.load(newer)).counts == Counts(read=1, loaded=1)
    [row] = await rows_of(pool, "onpoint_pairs", "user")
    assert (row["value"], row["_run_id"], row["_source_position"]) == (None, "a", 3)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_collision_within_a_run_counts_one_superseded_whichever_loses(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog, order: tuple[int, int]
) -> None:
    batches = [
        await put_processed(staging, catalog["pairs"], [pair("first")], sequence=0, first_position=0),
        await put_processed(staging, catalog["pairs"], [pair("second")], sequence=1, first_position=1),
    ]
    results = [await service.load(batches[place]) for place in order]
    assert [result.counts for result in results] == [Counts(read=1, loaded=1), Counts(read=1, superseded=1)]
    assert [result.repeated for result in results] == [0, 0], "the two rows differ"
    [row] = await rows_of(pool, "onpoint_pairs", "user")
    assert row["value"] == "second"


async def test_rows_that_lose_to_another_run_are_not_repetitions(
    service: LoaderService, staging: ObjectStore, catalog: Catalog
) -> None:
    dataset = catalog["pairs"]
    newer = [pair("newer", user=u) for u in (0, 1)]
    own = [pair("own" if u == 2 else "x", user=u) for u in (2, 3, 4)]
    await service.load(await put_processed(staging, dataset, newer, run_id="r1", requested_at=LATER))
    await service.load(await put_processed(staging, dataset, own, run_id="r0", first_position=10))
    # Two lose to the newer run, two to their own (one of them alike), one replaces its like, and two are new.
    rows = [pair("x", user=u, _source_position=20 if u == 4 else u) for u in range(7)]
    result = await service.load(await put_processed(staging, dataset, rows, run_id="r0", sequence=1))
    assert (result.counts, result.repeated) == (Counts(read=7, loaded=2, superseded=5), 2)


async def test_a_page_that_comes_twice_is_repeated_in_whole(
    service: LoaderService, staging: ObjectStore, catalog: Catalog
) -> None:
    """Also where its rows stand at the very same position."""
    rows = [pair("x", user=u) for u in range(1000)]
    results = [
        await service.load(
            await put_processed(staging, catalog["pairs"], rows, sequence=n, first_position=position)
        )
        for n, position in enumerate((1000, 2000, 0, 2000))
    ]
    assert [result.repeated for result in results] == [0, 1000, 1000, 1000]
    assert [result.counts.superseded for result in results] == [0, 1000, 1000, 1000]


@pytest.mark.parametrize(("lesser", "greater"), [("B", "a"), ("a-1", "a.1"), ("run-10", "run-9")])
async def test_runs_of_one_moment_are_ordered_by_the_bytes_of_their_ids(
    service: LoaderService,
    staging: ObjectStore,
    pool: asyncpg.Pool,
    catalog: Catalog,
    lesser: str,
    greater: str,
) -> None:
    assert lesser.encode() < greater.encode()
    for run_id in (greater, lesser):
        await service.load(await put_processed(staging, catalog["pairs"], [pair(run_id)], run_id=run_id))
    [row] = await rows_of(pool, "onpoint_pairs", "user")
    assert row["_run_id"] == greater


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
async def test_the_order_of_loading_does_not_change_what_stays(
    service: LoaderService,
    staging: ObjectStore,
    pool: asyncpg.Pool,
    catalog: Catalog,
    order: tuple[int, ...],
) -> None:
    dataset = catalog["pairs"]
    batches = [
        await put_processed(staging, dataset, [pair(f"0.{u}", user=u) for u in range(6)], run_id="r1"),
        await put_processed(
            staging,
            dataset,
            [pair(f"1.{u}", user=u) for u in range(3, 9)],
            run_id="r1",
            sequence=1,
            first_position=6,
        ),
        await put_processed(staging, dataset, [pair(f"2.{u}", user=u) for u in range(0, 9, 2)], run_id="r0"),
        await put_processed(
            staging,
            dataset,
            [pair(f"3.{u}", user=u) for u in (8, 9)],
            run_id="r0",
            sequence=1,
            requested_at=LATER,
        ),
    ]
    results = [await service.load(batches[place]) for place in order]
    assert [row["value"] for row in await rows_of(pool, "onpoint_pairs", "user")] == [
        "0.0", "0.1", "0.2", "1.3", "1.4", "1.5", "1.6", "1.7", "3.8", "3.9",
    ]  # fmt: skip
    assert all(result.counts.loaded + result.counts.superseded == result.counts.read for result in results)


async def test_two_loaders_that_meet_in_many_keys_do_not_deadlock(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    users = list(range(3000))
    batches = [
        await put_processed(
            staging,
            catalog["pairs"],
            [pair(str(n), user=u) for u in order],
            sequence=n,
            first_position=3000 * n,
        )
        for n, order in enumerate([users, users[::-1], users[1500:] + users[:1500]])
    ]
    results = await asyncio.gather(*(service.load(batch) for batch in batches))
    assert sum(result.counts.loaded for result in results) == 3000
    assert {row["value"] for row in await rows_of(pool, "onpoint_pairs", "user")} == {"2"}


async def merge_pairs(
    connection: asyncpg.pool.PoolConnectionProxy, dataset: Dataset, values: Mapping[int, str], position: int
) -> Merge:
    """Merges a value for each user, of one run, in the transaction that is open."""
    await connection.execute(statements.create_incoming(dataset))
    await connection.executemany(
        "INSERT INTO onpoint_incoming VALUES ('a', $1, $2, 'run-1', 'b', '2026-11-23', $3)",
        [(user, value, position) for user, value in values.items()],
    )
    return await merge(connection, dataset, len(values), PRODUCED_AT)


async def until_one_waits(pool: asyncpg.Pool) -> None:
    while not await pool.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
        await asyncio.sleep(0.02)


async def test_a_row_that_another_load_commits_while_the_merge_waits_for_it_is_counted(
    pool: asyncpg.Pool, catalog: Catalog
) -> None:
    dataset = catalog["pairs"]

    async def load(connection: asyncpg.pool.PoolConnectionProxy) -> Merge:
        async with connection.transaction():
            return await merge_pairs(connection, dataset, {1: "x"}, position=2)

    async with pool.acquire() as first, pool.acquire() as second:
        other = second.transaction()
        await other.start()
        assert await merge_pairs(second, dataset, {1: "x"}, position=1) == Merge(1, same_run=0, repeated=0)
        loading = asyncio.create_task(load(first))
        await until_one_waits(pool)
        await other.commit()
        assert await loading == Merge(written=1, same_run=1, repeated=1)


async def test_rows_that_lost_are_looked_up_by_their_keys_however_large_the_table_is(
    pool: asyncpg.Pool, catalog: Catalog
) -> None:
    dataset = catalog["pairs"]
    await pool.execute(
        "INSERT INTO onpoint_pairs SELECT 'a', n, 'x', 'run-' || n / 100, 'b', '2026-11-23', n, now() "
        "FROM generate_series(1, 100000) AS n"
    )
    async with pool.acquire() as connection, connection.transaction():
        lost = dict.fromkeys(range(1, 100000, 100), "x")
        await merge_pairs(connection, dataset, lost, position=0)
        plan = await connection.fetch(f"EXPLAIN {statements.count_of_run(dataset)}")
    assert 'Index Cond: (("group" = came."group") AND ("user" = came."user"))' in "\n".join(
        line for [line] in plan
    )
