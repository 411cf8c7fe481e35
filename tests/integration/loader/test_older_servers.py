"""What holds for merged and copied rows holds on the older servers that OnPoint works with."""

import asyncpg
import pytest

from services.loader.adapters import statements
from tests.integration.loader.test_merging import (  # noqa: F401 - the same tests, on these servers
    test_a_collision_within_a_run_counts_one_superseded_whoever_loses,
    test_a_newer_run_replaces_every_column_and_counts_as_loaded,
    test_a_page_that_comes_twice_is_repeated_in_whole,
    test_a_row_that_another_load_commits_while_the_merge_waits_for_it_is_counted,
    test_an_older_run_that_is_loaded_later_loses,
    test_rows_that_lose_to_another_run_are_no_repetitions,
    test_two_loaders_that_meet_in_many_keys_do_not_deadlock,
)
from tests.integration.loader.test_straight import (  # noqa: F401 - as above
    test_a_key_that_comes_in_between_sends_the_batch_through_the_merge,
    test_keys_that_the_table_does_not_have_go_straight_into_it,
)

pytestmark = pytest.mark.integration


@pytest.fixture
def postgres_dsn(older_dsn: str) -> str:
    return older_dsn


async def test_a_straight_copy_is_bounded_where_transactions_have_no_time_limit(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(statements.straight_limits(connection.get_server_version().major))
        assert await connection.fetchval("SHOW statement_timeout") == "1min"
