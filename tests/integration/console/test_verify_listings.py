"""The checker gives the listing of a dataset the seconds by which it follows the end of a run."""

import asyncio

import asyncpg
import pytest

from console.verify import database
from console.verify.database import wait_for_listings

pytestmark = pytest.mark.integration

BEHIND = "INSERT INTO onpoint_lake.dataset_listings (dataset, changes, written) VALUES ('posts', 2, 1)"
WRITTEN = "UPDATE onpoint_lake.dataset_listings SET written = changes"


async def test_a_listing_that_is_behind_is_waited_for(postgres_dsn: str) -> None:
    checker, quality = await asyncpg.connect(postgres_dsn), await asyncpg.connect(postgres_dsn)
    try:
        await quality.execute(BEHIND)
        waiting = asyncio.create_task(wait_for_listings(checker))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        await quality.execute(WRITTEN)
        await asyncio.wait_for(waiting, 30)
    finally:
        await checker.close()
        await quality.close()


async def test_a_listing_that_stays_behind_is_not_waited_for_without_end(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LISTING_PAUSE_S", 0)
    connection = await asyncpg.connect(postgres_dsn)
    try:
        await connection.execute(BEHIND)
        await asyncio.wait_for(wait_for_listings(connection), 30)
        assert await connection.fetchval("SELECT written FROM onpoint_lake.dataset_listings") == 1
    finally:
        await connection.close()
