"""Merged and copied rows on the older PostgreSQL versions that OnPoint supports."""

import asyncio

import asyncpg
import pytest

from services.loader.domain import Merge
from services.loader.service import LoaderService
from shared.datasets.catalog import Catalog
from shared.events.models import Counts
from shared.storage.object_store import ObjectStore
from tests.integration.loader.loaded import thing
from tests.integration.loader.test_evolving import (  # noqa: F401 - the same tests, on these servers
    test_a_column_never_becomes_narrower_and_a_key_stays,
    test_the_function_does_nothing_else,
    test_two_loaders_at_once_and_every_order_of_versions,
)
from tests.integration.loader.test_failed_statements import (  # noqa: F401 - the same tests, on these servers
    test_a_copy_that_always_meets_the_statement_timeout_is_not_an_outage,
)
from tests.integration.loader.test_merging import (  # noqa: F401 - as above
    merge_pairs,
    test_a_collision_within_a_run_counts_one_superseded_whichever_loses,
    test_a_newer_run_replaces_every_column_and_counts_as_loaded,
    test_a_page_that_comes_twice_is_repeated_in_whole,
    test_a_row_that_another_load_commits_while_the_merge_waits_for_it_is_counted,
    test_an_older_run_that_is_loaded_later_loses,
    test_rows_that_lose_to_another_run_are_not_repetitions,
    test_rows_that_lost_are_looked_up_by_their_keys_however_large_the_table_is,
    test_two_loaders_that_meet_in_many_keys_do_not_deadlock,
    until_one_waits,
)
from tests.integration.loader.test_straight import (  # noqa: F401 - as above
    test_a_key_that_comes_in_between_sends_the_batch_through_the_merge,
    test_keys_that_the_table_does_not_have_go_straight_into_it,
)
from tests.support.processed import put_processed

pytestmark = [pytest.mark.integration, pytest.mark.long]


@pytest.fixture
def postgres_dsn(older_dsn: str) -> str:
    return older_dsn


async def test_a_straight_copy_that_takes_too_long_is_merged_at_once(
    service: LoaderService, staging: ObjectStore, catalog: Catalog, slow_load_paths: list[str]
) -> None:
    """The limit ends the statement; there is none that would end the transaction."""
    batch = await put_processed(staging, catalog["things"], [thing(n) for n in range(10)])
    assert (await service.load(batch)).counts == Counts(read=10, loaded=10)
    assert slow_load_paths == ["straight", "merged"]


async def test_a_row_that_two_other_loads_commit_between_the_locks_and_the_merge_is_counted(
    pool: asyncpg.Pool, catalog: Catalog
) -> None:
    """User 1 is new when the merge locks what is stored, in the merge's snapshot as the first of the others wrote it, and
    as the second wrote it when it is replaced.
    """
    dataset = catalog["pairs"]

    async def load(
        connection: asyncpg.pool.PoolConnectionProxy, values: dict[int, str], position: int
    ) -> Merge:
        async with connection.transaction():
            return await merge_pairs(connection, dataset, values, position)

    async with pool.acquire() as merging, pool.acquire() as holding, pool.acquire() as other:
        await load(other, {2: "x"}, position=0)
        between = holding.transaction()
        await between.start()
        await holding.execute("SELECT FROM onpoint_pairs FOR UPDATE")
        loading = asyncio.create_task(load(merging, {1: "x", 2: "x"}, position=3))
        await until_one_waits(pool)

        await load(other, {1: "another"}, position=1)
        last = other.transaction()
        await last.start()
        await merge_pairs(other, dataset, {1: "x"}, position=2)
        await between.commit()
        await until_one_waits(pool)
        await last.commit()
        assert await loading == Merge(written=2, same_run=2, repeated=2)
