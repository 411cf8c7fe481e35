"""A migration that needs a lock blocks no other session for long, and names the process that has the lock."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from shared.postgres import lock_waiting
from shared.postgres.lock_waiting import LockLimits, LockWaitError
from shared.postgres.migrations import Migration, TablesError, migrate
from tests.support.processed import a_dataset

pytestmark = pytest.mark.integration

SHORT = LockLimits(once_s=0.8, in_all_s=30)
OVER = LockLimits(once_s=0.8, in_all_s=1)

BEFORE = a_dataset({"id": "int64"}, key=["id"])
AFTER = a_dataset({"id": "int64", "more": "string"}, key=["id"])
LONG_QUERY = "SELECT count(*) FROM onpoint_things /* a long load */"


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_waiting, "LOOK_INTERVAL_S", 0.2)


@pytest.fixture
async def load(empty_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that locks the dataset's table as a long COPY does."""
    await migrate(empty_dsn, [], [BEFORE])
    connection = await asyncpg.connect(empty_dsn, server_settings={"application_name": "onpoint_pipeline"})
    await connection.execute("BEGIN")
    await connection.execute(LONG_QUERY)
    yield connection
    await connection.close()


async def test_a_migration_that_waits_blocks_no_session_longer_than_one_try(
    empty_dsn: str, load: asyncpg.Connection
) -> None:
    messages: list[str] = []
    loop = asyncio.get_running_loop()
    migrating = asyncio.create_task(migrate(empty_dsn, [], [AFTER], report=messages.append, limits=SHORT))
    other, longest_s = await asyncpg.connect(empty_dsn), 0.0
    try:
        until = loop.time() + 3
        while loop.time() < until:
            since = loop.time()
            await other.execute("SELECT FROM onpoint_things")
            longest_s = max(longest_s, loop.time() - since)
            await asyncio.sleep(0.01)
        assert not migrating.done()
        assert 0.1 < longest_s < 1.5, "it waited in the queue of the migration, and for one try of it"
        pid = load.get_server_pid()
        assert messages
        for line in messages:
            assert line.startswith(f"waiting for a lock, held by process {pid} (onpoint_pipeline) for ")
            assert line.endswith(f" s: {LONG_QUERY}")
        await load.execute("COMMIT")
        async with asyncio.timeout(20):
            assert await migrating == ["table onpoint_things: column more"]
    finally:
        await other.close()


async def test_a_lock_that_is_not_to_be_had_ends_the_table_s_migration_and_no_other_s(
    empty_dsn: str, load: asyncpg.Connection
) -> None:
    other = a_dataset({"id": "int64"}, key=["id"], name="others")
    with pytest.raises(TablesError) as caught:
        await migrate(empty_dsn, [], [AFTER, other], limits=OVER)
    [failure] = caught.value.failures
    assert failure.table == "onpoint_things"
    assert failure.reason.startswith(
        f"a lock was not obtained within 1 s, held by process {load.get_server_pid()} (onpoint_pipeline) for "
    )
    assert failure.reason.endswith(
        "run `onpoint migrate` again when that is over; nothing of this step was changed"
    )
    assert caught.value.done == ("table onpoint_others", "table onpoint_others: index of its runs")


async def test_a_migration_of_a_service_gives_up_as_a_whole(empty_dsn: str, load: asyncpg.Connection) -> None:
    steps = [
        Migration("x", "0001_new.sql", "CREATE TABLE public.fresh ()"),
        Migration("x", "0002_alter.sql", "ALTER TABLE onpoint_things ADD COLUMN other text"),
    ]
    with pytest.raises(LockWaitError, match=r"held by process \d+"):
        await migrate(empty_dsn, steps, [], limits=OVER)
    await load.execute("COMMIT")
    assert await load.fetchval("SELECT to_regclass('public.fresh')") is None
    assert await migrate(empty_dsn, steps, [], limits=OVER) == ["x: 0001_new.sql", "x: 0002_alter.sql"]


async def test_two_migrations_at_once_take_turns(empty_dsn: str) -> None:
    slow = [Migration("x", "0001_slow.sql", "SELECT pg_sleep(1.5)")]
    messages: list[str] = []
    done = await asyncio.gather(
        *(migrate(empty_dsn, slow, [], report=messages.append, limits=SHORT) for _ in range(2))
    )
    assert sorted(done) == [[], ["x: 0001_slow.sql"]]
    assert any("(onpoint_migrate)" in line for line in messages)
