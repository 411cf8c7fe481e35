"""Rows whose keys the table does not have go straight into it; all others are merged."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import asyncpg
import pyarrow.parquet as pq
import pytest

from services.loader.adapters.encoder import encode_copy
from services.loader.service import LoaderService
from shared.datasets.catalog import Catalog
from shared.datasets.model import Dataset
from shared.errors import PermanentError
from shared.events.models import Artifact, Counts
from shared.postgres.errors import DatabaseUnavailableError, StatementFailedError
from shared.postgres.versions import LIMITS_TRANSACTIONS
from shared.reasons import Reason
from shared.stages.failures import BatchDeadError
from shared.storage.object_store import ObjectStore
from tests.integration.loader.loaded import ENCODER, pair, rows_of, thing
from tests.support.processed import PRODUCED_AT, put_processed

pytestmark = pytest.mark.integration


def record_load_paths(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Records how rows are loaded from now on: straight into the table, or through the temporary one."""
    paths: list[str] = []

    def noting(
        parquet: pq.ParquetFile, artifact: Artifact, dataset: Dataset, *, processed_at: datetime | None
    ) -> AsyncIterator[bytes]:
        paths.append("merged" if processed_at is None else "straight")
        return encode_copy(parquet, artifact, dataset, processed_at=processed_at)

    monkeypatch.setattr(ENCODER, noting)
    return paths


async def test_keys_that_the_table_does_not_have_go_straight_into_it(
    service: LoaderService,
    staging: ObjectStore,
    pool: asyncpg.Pool,
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paths = record_load_paths(monkeypatch)
    for sequence, numbers in enumerate((range(10, 20), range(30, 40), range(20, 30), range(19, 21))):
        batch = await put_processed(
            staging,
            catalog["things"],
            [thing(n) for n in numbers],
            sequence=sequence,
            run_id=f"run-{sequence}",
        )
        assert (await service.load(batch)).repeated == 0
    assert paths == ["straight", "straight", "straight", "merged"]
    assert [row["id"] for row in await rows_of(pool, "onpoint_things")] == list(range(10, 40))
    assert {row["etl_processed_at"] for row in await rows_of(pool, "onpoint_things")} == {PRODUCED_AT}


async def test_keys_in_another_order_are_merged_so_that_two_loads_never_deadlock(
    service: LoaderService,
    staging: ObjectStore,
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paths = record_load_paths(monkeypatch)
    await service.load(await put_processed(staging, catalog["things"], [thing(n) for n in (1, 3, 2)]))
    assert paths == ["merged"]


async def test_a_straight_copy_that_takes_too_long_is_an_outage_and_the_next_try_takes_the_merge(
    service: LoaderService,
    staging: ObjectStore,
    pool: asyncpg.Pool,
    catalog: Catalog,
    slow_load_paths: list[str],
) -> None:
    async with pool.acquire() as connection:
        if connection.get_server_version().major < LIMITS_TRANSACTIONS:
            pytest.skip("an older server ends the statement and not the connection")
    batch = await put_processed(staging, catalog["things"], [thing(n) for n in range(10)])
    with pytest.raises(DatabaseUnavailableError):
        await service.load(batch)
    assert await rows_of(pool, "onpoint_things") == []
    assert (await service.load(batch)).counts == Counts(read=10, loaded=10)
    assert slow_load_paths == ["straight", "merged"]


async def test_a_key_that_comes_in_between_sends_the_batch_through_the_merge(
    service: LoaderService,
    staging: ObjectStore,
    pool: asyncpg.Pool,
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    older = await put_processed(staging, catalog["things"], [thing(5, order="old")], run_id="run-0")
    batch = await put_processed(
        staging, catalog["things"], [thing(n) for n in range(10)], run_id="run-1", sequence=1
    )
    paths: list[str] = []

    async def meeting(
        parquet: pq.ParquetFile, artifact: Artifact, dataset: Dataset, *, processed_at: datetime | None
    ) -> AsyncIterator[bytes]:
        paths.append("merged" if processed_at is None else "straight")
        if paths == ["straight"]:
            await service.load(older)  # after the table was asked, before the first row is in it
        async for chunk in encode_copy(parquet, artifact, dataset, processed_at=processed_at):
            yield chunk

    monkeypatch.setattr(ENCODER, meeting)
    result = await service.load(batch)
    assert paths == ["straight", "straight", "merged"]
    assert result.counts == Counts(read=10, loaded=10)
    assert {row["order"] for row in await rows_of(pool, "onpoint_things")} == {"x"}


async def test_a_batch_that_died_meanwhile_takes_back_what_it_copied(
    service: LoaderService,
    staging: ObjectStore,
    pool: asyncpg.Pool,
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = await put_processed(staging, catalog["things"], [thing(n) for n in range(10)])

    async def dying(
        parquet: pq.ParquetFile, artifact: Artifact, dataset: Dataset, *, processed_at: datetime | None
    ) -> AsyncIterator[bytes]:
        await service.mark_failed(batch, PermanentError(Reason.HANDLER, "elsewhere"))
        async for chunk in encode_copy(parquet, artifact, dataset, processed_at=processed_at):
            yield chunk

    monkeypatch.setattr(ENCODER, dying)
    with pytest.raises(BatchDeadError):
        await service.load(batch)
    assert await rows_of(pool, "onpoint_things") == []


@pytest.mark.parametrize(
    ("altered", "found"), [("double precision", [0.0, 1.0, 2.0]), ("text", ["0", "1", "2"])]
)
async def test_integers_into_a_column_that_is_wider_by_now_are_converted(
    altered: str,
    found: list[Any],
    service: LoaderService,
    staging: ObjectStore,
    pool: asyncpg.Pool,
    catalog: Catalog,
) -> None:
    await pool.execute(f'ALTER TABLE onpoint_pairs ALTER COLUMN "user" TYPE {altered}')
    batch = await put_processed(staging, catalog["pairs"], [pair("x", user=n) for n in range(3)])
    assert (await service.load(batch)).counts.loaded == 3
    assert [row["user"] for row in await rows_of(pool, "onpoint_pairs", "user")] == found


@pytest.mark.parametrize(("column", "altered"), [("select", "bigint"), ("time", "date")])
async def test_a_column_that_would_cut_values_off_is_told(
    column: str,
    altered: str,
    service: LoaderService,
    staging: ObjectStore,
    pool: asyncpg.Pool,
    catalog: Catalog,
) -> None:
    await pool.execute(f'ALTER TABLE onpoint_things ALTER COLUMN "{column}" TYPE {altered} USING NULL')
    batch = await put_processed(staging, catalog["things"], [thing(1)])
    with pytest.raises(PermanentError, match=f"{column} is {altered} and .* in the dataset's file"):
        await service.load(batch)
    assert await rows_of(pool, "onpoint_things") == []


async def test_a_column_into_which_nothing_is_converted_takes_no_row(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    await pool.execute("ALTER TABLE onpoint_things ALTER COLUMN time TYPE bigint USING NULL")
    batch = await put_processed(staging, catalog["things"], [thing(1, time=PRODUCED_AT)])
    with pytest.raises((PermanentError, StatementFailedError), match="timestamp"):
        await service.load(batch)
    assert await rows_of(pool, "onpoint_things") == []


@pytest.mark.parametrize("altered", ["varchar(50)", "citext", "short_text"])
async def test_a_text_of_another_kind_takes_texts_as_they_are(
    altered: str, service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    await pool.execute("CREATE EXTENSION IF NOT EXISTS citext; CREATE DOMAIN short_text AS text")
    await pool.execute(f'ALTER TABLE onpoint_things ALTER COLUMN "order" TYPE {altered}')
    batch = await put_processed(staging, catalog["things"], [thing(1, order="Köln")])
    assert (await service.load(batch)).counts.loaded == 1
    assert [row["order"] for row in await rows_of(pool, "onpoint_things")] == ["Köln"]
