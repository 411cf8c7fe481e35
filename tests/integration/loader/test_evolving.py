"""Tables of datasets whose columns may change: the loader brings them to the newest version, whoever is first."""

import asyncio
import json
import struct
from collections.abc import Sequence
from typing import Any

import asyncpg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.loader.adapters.repository import LoadRepository
from services.loader.service import LoaderService
from services.processor.service import ProcessorService
from shared.datasets.model import Dataset
from shared.errors import PermanentError, TransientError
from shared.events.models import BatchManifest, Counts
from shared.parquet.columns import widened
from shared.postgres.errors import DatabaseUnavailableError, MigrationPendingError, PrivilegeMissingError
from shared.postgres.migrations import find_migrations, migrate
from shared.postgres.pool import open_pool
from shared.settings.postgres import PostgresSettings
from shared.stages.results import Batches
from shared.storage.object_store import ObjectStore
from tests.support.crawled import a_dataset, put_crawled
from tests.support.datasets import datasets_of

pytestmark = pytest.mark.integration

COLUMNS = [{"name": "id", "type": "int64"}, {"name": "label", "type": "string"}]
KILL_EVOLVING = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE query LIKE 'SELECT onpoint_loader.evolve_column%' AND wait_event_type = 'Lock' AND datname = current_database()
"""
MIGRATIONS = find_migrations("services.loader")


def growing(name: str = "growing", columns: Sequence[dict[str, Any]] = COLUMNS, **contract: Any) -> Dataset:
    return a_dataset(columns, key=["id"], name=name, schema={"new_columns": "evolve", **contract})


def loader_of(pool: asyncpg.Pool, staging: ObjectStore, dataset: Dataset) -> LoaderService:
    """A process of its own."""
    datasets = datasets_of({dataset.name: dataset}, staging)
    return LoaderService(Batches(staging, "loader"), LoadRepository(pool), datasets)


async def processed(
    staging: ObjectStore, dataset: Dataset, *records: dict[str, Any], sequence: int = 0, run_id: str = "run-1"
) -> BatchManifest:
    lines = [json.dumps(record).encode() for record in records]
    crawled = await put_crawled(
        staging, dataset.name, lines, sequence=sequence, run_id=run_id, first_position=sequence * 100
    )
    datasets = datasets_of({dataset.name: dataset}, staging)
    return await ProcessorService(Batches(staging, "processor"), datasets).process(crawled)


async def rows(pool: asyncpg.Pool, dataset: Dataset, *names: str) -> list[tuple[Any, ...]]:
    found = await pool.fetch(f"SELECT * FROM public.{dataset.table} ORDER BY id")
    return [tuple(row[name] for name in names) for row in found]


async def test_a_column_is_added_for_the_batch_that_has_it(
    postgres_dsn: str, pool: asyncpg.Pool, staging: ObjectStore
) -> None:
    dataset = growing()
    await migrate(postgres_dsn, MIGRATIONS, [dataset])
    loader = loader_of(pool, staging, dataset)
    records: list[dict[str, Any]] = [{"id": 1}, {"id": 2, "extra": 0.5}, {"id": 3}]
    for sequence, record in enumerate(records):
        result = await loader.load(await processed(staging, dataset, record, sequence=sequence))
        assert result.counts == Counts(read=1, loaded=1)
    assert await rows(pool, dataset, "id", "extra") == [(1, None), (2, 0.5), (3, None)]


async def test_a_newer_record_without_the_field_makes_it_null(
    postgres_dsn: str, pool: asyncpg.Pool, staging: ObjectStore
) -> None:
    dataset = growing("forgetting")
    await migrate(postgres_dsn, MIGRATIONS, [dataset])
    loader = loader_of(pool, staging, dataset)
    await loader.load(await processed(staging, dataset, {"id": 1, "extra": 1}))
    later = await processed(staging, dataset, {"id": 1, "label": "new"}, sequence=1, run_id="run-2")
    assert later.columns_version == 1
    await loader.load(later)
    assert await rows(pool, dataset, "label", "extra") == [("new", None)]


async def test_two_loaders_at_once_and_every_order_of_versions(
    postgres_dsn: str, pool: asyncpg.Pool, staging: ObjectStore
) -> None:
    dataset = growing("racing", types="widen")
    await migrate(postgres_dsn, MIGRATIONS, [dataset])
    values = [1, 2**40, 0.5, "x", True, [1], 7]
    batches = [
        await processed(staging, dataset, {"id": n, "value": value, f"f{n}": n}, sequence=n)
        for n, value in enumerate(values)
    ]
    loaders = [loader_of(pool, staging, dataset) for _ in range(2)]
    results = await asyncio.gather(*(loader.load(batch) for batch in reversed(batches) for loader in loaders))
    assert all(result.counts == Counts(read=1, loaded=1) for result in results)
    found = await rows(pool, dataset, "value")
    assert found == [("1",), ("1099511627776",), ("0.5",), ("x",), ("true",), ("[1]",), ("7",)]
    assert await rows(pool, dataset, "f3") == [(n if n == 3 else None,) for n in range(7)]


async def test_a_loader_that_ended_before_its_commit_leaves_a_column_and_no_row(
    postgres_dsn: str, pool: asyncpg.Pool, staging: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = growing("broken")
    await migrate(postgres_dsn, MIGRATIONS, [dataset])
    batch = await processed(staging, dataset, {"id": 1, "extra": 1})

    async def ending(*_: object, **__: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr("services.loader.adapters.repository._copy_straight", ending)
        with pytest.raises(TransientError):
            await loader_of(pool, staging, dataset).load(batch)
    assert await rows(pool, dataset, "extra") == []
    await loader_of(pool, staging, dataset).load(batch)
    assert await rows(pool, dataset, "extra") == [(1,)]


async def test_a_table_in_use_is_waited_for(
    postgres_dsn: str, pool: asyncpg.Pool, staging: ObjectStore
) -> None:
    dataset = growing("busy")
    await migrate(postgres_dsn, MIGRATIONS, [dataset])
    batch = await processed(staging, dataset, {"id": 1, "extra": 1})
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(f"LOCK TABLE public.{dataset.table} IN ACCESS SHARE MODE")
        with pytest.raises(TransientError):
            await loader_of(pool, staging, dataset).load(batch)
    await loader_of(pool, staging, dataset).load(batch)
    assert await rows(pool, dataset, "extra") == [(1,)]


async def test_a_backend_killed_while_it_adds_a_column_is_an_outage(
    postgres_dsn: str, pool: asyncpg.Pool, staging: ObjectStore
) -> None:
    dataset = growing("killed")
    await migrate(postgres_dsn, MIGRATIONS, [dataset])
    batch = await processed(staging, dataset, {"id": 1, "extra": 1})
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(f"LOCK TABLE public.{dataset.table} IN ACCESS SHARE MODE")
        loading = asyncio.create_task(loader_of(pool, staging, dataset).load(batch))
        while not await pool.fetchval(KILL_EVOLVING):
            await asyncio.sleep(0.05)
        with pytest.raises(DatabaseUnavailableError):
            await loading
    await loader_of(pool, staging, dataset).load(batch)
    assert await rows(pool, dataset, "extra") == [(1,)]


async def test_the_loader_needs_no_right_on_the_table_but_to_load_it(
    postgres_dsn: str, pool: asyncpg.Pool, staging: ObjectStore
) -> None:
    dataset = growing("granted")
    await migrate(postgres_dsn, MIGRATIONS, [dataset])
    batch = await processed(staging, dataset, {"id": 1, "extra": 1})
    role = "evolving_loader"
    await pool.execute(
        f"DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN PASSWORD 'x'; "
        f"GRANT USAGE ON SCHEMA onpoint_loader TO {role}; "
        f"GRANT ALL ON onpoint_loader.loaded_batches TO {role}; "
        f"GRANT SELECT, INSERT, UPDATE ON public.{dataset.table} TO {role}"
    )
    try:
        limited = PostgresSettings.model_validate({"postgres_dsn": as_role(postgres_dsn, role)})
        async with await open_pool(limited) as own:
            with pytest.raises(
                PrivilegeMissingError, match=r"GRANT EXECUTE ON FUNCTION .*evolve_column TO evolving_loader"
            ):
                await loader_of(own, staging, dataset).load(batch)
            await pool.execute(f"GRANT EXECUTE ON FUNCTION onpoint_loader.evolve_column TO {role}")
            await loader_of(own, staging, dataset).load(batch)
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await own.execute(f"ALTER TABLE public.{dataset.table} ADD COLUMN more text")
    finally:
        await pool.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert await rows(pool, dataset, "extra") == [(1,)]


def as_role(dsn: str, role: str) -> str:
    head, _, place = dsn.rpartition("@")
    return f"{head.partition('://')[0]}://{role}:x@{place}"


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (("onpoint_things", "extra", "text"), "is not marked as one that evolves"),
        (("pg_class", "extra", "text"), "is not marked as one that evolves"),
        (("x; DROP TABLE y", "extra", "text"), "is not marked as one that evolves"),
        (("onpoint_checked", 'a" text; --', "text"), "cannot be made"),
        (("onpoint_checked", "_run_id", "text"), "cannot be made"),
        (("onpoint_checked", "etl_processed_at", "text"), "cannot be made"),
        (("onpoint_checked", "extra", "text; DROP TABLE x"), "cannot be made"),
        (("onpoint_checked", "extra", "regclass"), "cannot be made"),
        (("onpoint_checked", "d", "text"), "has as many columns as its file allows"),
    ],
)
async def test_the_function_does_nothing_else(
    postgres_dsn: str, pool: asyncpg.Pool, arguments: tuple[str, ...], refusal: str
) -> None:
    await migrate(postgres_dsn, MIGRATIONS, [growing("checked", max_columns=3)])
    for name in "abc":
        await evolve(pool, "onpoint_checked", name, "bigint")
    with pytest.raises(asyncpg.PostgresError, match=refusal):
        await evolve(pool, *arguments)


async def test_a_column_never_becomes_narrower_and_a_key_stays(postgres_dsn: str, pool: asyncpg.Pool) -> None:
    await migrate(postgres_dsn, MIGRATIONS, [growing("kept", types="widen"), growing("strictly")])
    assert await evolve(pool, "onpoint_kept", "a", "text") == "text"
    assert await evolve(pool, "onpoint_kept", "a", "bigint") == "text"
    assert await evolve(pool, "onpoint_kept", "id", "text") == "bigint"
    assert await evolve(pool, "onpoint_strictly", "a", "bigint") == "bigint"
    assert await evolve(pool, "onpoint_strictly", "a", "text") == "bigint"


async def evolve(pool: asyncpg.Pool, *arguments: str) -> str:
    return str(await pool.fetchval("SELECT onpoint_loader.evolve_column($1, $2, $3)", *arguments))


async def test_a_table_that_is_not_marked_waits_for_a_migration(
    postgres_dsn: str, pool: asyncpg.Pool, staging: ObjectStore
) -> None:
    await migrate(postgres_dsn, MIGRATIONS, [a_dataset(COLUMNS, key=["id"], name="late")])
    dataset = growing("late")
    batch = await processed(staging, dataset, {"id": 1, "extra": 1})
    with pytest.raises(MigrationPendingError, match="is not marked as one that evolves"):
        await loader_of(pool, staging, dataset).load(batch)
    await migrate(postgres_dsn, MIGRATIONS, [dataset])
    await loader_of(pool, staging, dataset).load(batch)
    assert await rows(pool, dataset, "extra") == [(1,)]


async def test_a_column_that_the_file_names_waits_for_a_migration(
    postgres_dsn: str, pool: asyncpg.Pool, staging: ObjectStore
) -> None:
    await migrate(postgres_dsn, MIGRATIONS, [growing("renamed")])
    dataset = growing("renamed", [*COLUMNS, {"name": "price", "type": "decimal(9,2)"}])
    batch = await processed(staging, dataset, {"id": 1, "price": 1.5})
    with pytest.raises(MigrationPendingError, match="has no column price: run `onpoint migrate`"):
        await loader_of(pool, staging, dataset).load(batch)
    await migrate(postgres_dsn, MIGRATIONS, [dataset])
    await loader_of(pool, staging, dataset).load(batch)
    await pool.execute(f"ALTER TABLE public.{dataset.table} ALTER COLUMN price TYPE text")
    later = await processed(staging, dataset, {"id": 2, "price": 1.5}, sequence=1)
    with pytest.raises(PermanentError, match=r"price is of another type and has to be numeric\(9,2\)"):
        await loader_of(pool, staging, dataset).load(later)


async def test_a_column_that_was_altered_by_hand_is_told(
    postgres_dsn: str, pool: asyncpg.Pool, staging: ObjectStore
) -> None:
    dataset = growing("altered")
    await migrate(postgres_dsn, MIGRATIONS, [dataset])
    batch = await processed(staging, dataset, {"id": 1, "extra": 1})
    await pool.execute(f"ALTER TABLE public.{dataset.table} ADD COLUMN extra date")
    with pytest.raises(PermanentError, match="extra is date and has to be bigint"):
        await loader_of(pool, staging, dataset).load(batch)


async def test_a_later_file_names_columns_that_were_added_and_made_wider(
    postgres_dsn: str, pool: asyncpg.Pool, staging: ObjectStore
) -> None:
    columns = [*COLUMNS, {"name": "small", "type": "int16"}]
    dataset = growing("named", columns, types="widen")
    await migrate(postgres_dsn, MIGRATIONS, [dataset])
    first = await processed(staging, dataset, {"id": 1, "extra": 1, "small": 2**20})
    await loader_of(pool, staging, dataset).load(first)
    later = growing("named", [*columns, {"name": "extra", "type": "int32"}], types="widen")
    assert await migrate(postgres_dsn, MIGRATIONS, [later]) == []
    assert await migrate(postgres_dsn, MIGRATIONS, [dataset]) == []
    second = await processed(staging, later, {"id": 2, "extra": "x", "small": 0.5}, sequence=1)
    await loader_of(pool, staging, later).load(second)
    assert await rows(pool, later, "extra", "small") == [("1", 2**20), ("x", 0.5)]


async def test_a_run_of_an_older_file_is_loaded_into_columns_that_are_wider_now(
    postgres_dsn: str, pool: asyncpg.Pool, staging: ObjectStore
) -> None:
    columns = [*COLUMNS, {"name": "small", "type": "int16"}]
    strict, wide = growing("relaxed", columns), growing("relaxed", columns, types="widen")
    await migrate(postgres_dsn, MIGRATIONS, [strict])
    old = await processed(staging, strict, {"id": 1, "small": 1, "extra": 1})
    await migrate(postgres_dsn, MIGRATIONS, [wide])
    newer = await processed(staging, wide, {"id": 2, "small": "x", "extra": "x"}, sequence=1)
    await loader_of(pool, staging, wide).load(newer)
    await loader_of(pool, staging, strict).load(old)
    assert await rows(pool, wide, "small", "extra") == [("1", "1"), ("x", "x")]


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
async def test_floats_become_texts_of_exactly_these_floats_in_table_and_lake(
    postgres_dsn: str, values: list[float]
) -> None:
    connection = await asyncpg.connect(postgres_dsn)
    try:
        there = await connection.fetchval("SELECT array_agg(v::text) FROM unnest($1::float8[]) AS v", values)
        single = [struct.unpack("f", struct.pack("f", v))[0] for v in values if abs(v) < 3e38]
        small = await connection.fetchval(
            "SELECT coalesce(array_agg(v::text), '{}') FROM unnest($1::float4[]) AS v", single
        )
    finally:
        await connection.close()
    texts = widened(pa.array(values, pa.float64()), pa.string()).to_pylist()
    assert [float(text) for text in texts] == [float(text) for text in there] == values
    short = widened(pa.array(single, pa.float32()), pa.string()).to_pylist()
    assert [as_single(text) for text in short] == [as_single(text) for text in small] == single


def as_single(text: str) -> float:
    return float(struct.unpack("f", struct.pack("f", float(text)))[0])
