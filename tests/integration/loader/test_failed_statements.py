"""Statements that fail for another reason than an outage or their rows: tried again, but not without end."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import asyncpg
import pyarrow.parquet as pq
import pytest

from services.loader.adapters.encoder import encode_copy
from services.loader.adapters.repository import LoadRepository
from services.loader.service import LoaderService
from shared.datasets.catalog import Catalog
from shared.datasets.model import Dataset
from shared.errors import PermanentError, TransientError
from shared.events.models import Artifact, Counts
from shared.postgres.errors import MigrationPendingError, PrivilegeMissingError, StatementFailedError
from shared.postgres.migrations import migrate
from shared.postgres.pool import open_pool
from shared.settings.postgres import PostgresSettings
from shared.stages.results import Batches
from shared.storage.object_store import ObjectStore
from tests.integration.loader.loaded import ENCODER, ledger_of, rows_of, thing
from tests.support.datasets import datasets_of
from tests.support.processed import a_dataset, put_processed

pytestmark = pytest.mark.integration

LIMIT_S = 1

WRONG_TRIGGER = """
CREATE FUNCTION wrong() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.nothing := 1; RETURN NEW; END $$;
CREATE TRIGGER wrong BEFORE INSERT ON onpoint_things FOR EACH ROW EXECUTE FUNCTION wrong();
"""

FORBIDDEN_TRIGGER = """
CREATE TABLE hidden (id bigint);
CREATE FUNCTION forbidden() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO hidden VALUES (1); RETURN NEW; END $$;
CREATE TRIGGER forbidden BEFORE INSERT ON onpoint_things FOR EACH ROW EXECUTE FUNCTION forbidden();
"""

ROLE = "pg_monitor"
"""A role of every server, which may not read any table."""


async def test_a_copy_that_always_meets_the_statement_timeout_is_not_an_outage(
    staging: ObjectStore,
    pool: asyncpg.Pool,
    postgres_dsn: str,
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limited = PostgresSettings.model_validate(
        {"postgres_dsn": postgres_dsn, "postgres_statement_timeout_s": LIMIT_S}
    )
    paths: list[str] = []

    async def slow(
        parquet: pq.ParquetFile, artifact: Artifact, dataset: Dataset, *, processed_at: datetime | None
    ) -> AsyncIterator[bytes]:
        paths.append("merged" if processed_at is None else "straight")
        await asyncio.sleep(LIMIT_S * 1.3)
        async for chunk in encode_copy(parquet, artifact, dataset, processed_at=processed_at):
            yield chunk

    batch = await put_processed(staging, catalog["things"], [thing(1), thing(2)])
    async with await open_pool(limited) as short:
        service = LoaderService(Batches(staging, "loader"), LoadRepository(short), datasets_of(catalog))
        monkeypatch.setattr(ENCODER, slow)
        with pytest.raises(StatementFailedError, match="statement timeout") as caught:
            await service.load(batch)
        monkeypatch.undo()
        assert not isinstance(caught.value, (TransientError, PermanentError)), "its tries are bounded"
        assert paths == ["straight", "merged"]
        assert await rows_of(pool, "onpoint_things") == []
        assert await ledger_of(pool) == []
        assert (await service.load(batch)).counts == Counts(read=2, loaded=2)


async def test_a_batch_waits_for_a_migration_and_names_it(
    staging: ObjectStore, pool: asyncpg.Pool, postgres_dsn: str
) -> None:
    before = a_dataset({"id": "int64"}, key=["id"], name="late")
    after = a_dataset({"id": "int64", "name": "string", "size": "int64"}, key=["id"], name="late")
    service = LoaderService(Batches(staging, "loader"), LoadRepository(pool), datasets_of({"late": after}))
    batch = await put_processed(staging, after, [{"id": 1, "name": "a", "size": 2}])
    with pytest.raises(MigrationPendingError) as caught:
        await service.load(batch)
    assert str(caught.value) == "dataset late: there is no table onpoint_late: run `onpoint migrate`"
    await migrate(postgres_dsn, [], [before])
    with pytest.raises(MigrationPendingError) as caught:
        await service.load(batch)
    assert (
        str(caught.value)
        == "dataset late: table onpoint_late has no columns name, size: run `onpoint migrate`"
    )
    await migrate(postgres_dsn, [], [after])
    assert (await service.load(batch)).counts.loaded == 1


async def test_a_batch_does_not_wait_for_a_migration_where_none_is_missing(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    await pool.execute(WRONG_TRIGGER)
    with pytest.raises(StatementFailedError, match='has no field "nothing", and no migration'):
        await service.load(await put_processed(staging, catalog["things"], [thing(1)]))


@pytest.fixture
async def restricted(
    staging: ObjectStore, pool: asyncpg.Pool, postgres_dsn: str, catalog: Catalog
) -> AsyncIterator[LoaderService]:
    """A loader whose role may use its own schema, and nothing else until it is granted."""
    await pool.execute(
        f"GRANT USAGE ON SCHEMA onpoint_loader TO {ROLE}; "
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA onpoint_loader TO {ROLE}"
    )
    settings = PostgresSettings.model_validate({"postgres_dsn": f"{postgres_dsn}?role={ROLE}"})
    async with await open_pool(settings) as own:
        yield LoaderService(Batches(staging, "loader"), LoadRepository(own), datasets_of(catalog))


async def test_a_batch_waits_for_a_privilege_and_names_the_grants(
    restricted: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    batch = await put_processed(staging, catalog["things"], [thing(1)])
    database = await pool.fetchval("SELECT current_database()")
    await pool.execute(
        f"REVOKE USAGE ON SCHEMA public FROM PUBLIC; REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC; "
        f"GRANT SELECT ON onpoint_things TO {ROLE}"
    )
    with pytest.raises(PrivilegeMissingError) as caught:
        await restricted.load(batch)
    told, grants = str(caught.value).split(": GRANT ")
    assert told.startswith("dataset things: permission denied for")
    assert grants.split("; GRANT ") == [
        f"USAGE ON SCHEMA public TO {ROLE}",
        f"INSERT, UPDATE ON public.onpoint_things TO {ROLE}",
        f"TEMPORARY ON DATABASE {database} TO {ROLE}",
    ]
    await pool.execute(f"GRANT {grants}")
    assert (await restricted.load(batch)).counts.loaded == 1


async def test_a_batch_does_not_wait_for_a_privilege_where_none_on_its_table_is_missing(
    restricted: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    await pool.execute(f"GRANT SELECT, INSERT, UPDATE ON onpoint_things TO {ROLE}; {FORBIDDEN_TRIGGER}")
    with pytest.raises(StatementFailedError, match="for table hidden, and no privilege"):
        await restricted.load(await put_processed(staging, catalog["things"], [thing(1)]))
