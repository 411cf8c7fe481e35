"""A row that PostgreSQL refuses is put into quarantine; the others of its batch are loaded."""

import asyncio
import json
import random
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from services.loader.adapters.merging import MAX_REFUSED
from services.loader.adapters.repository import LoadRepository
from services.loader.handlers import Handlers
from services.loader.service import LoaderService
from shared.datasets.arrow import clean_schema
from shared.datasets.catalog import Catalog
from shared.errors import PermanentError
from shared.events.models import BatchManifest, Counts
from shared.observability.metrics import ROWS_REJECTED
from shared.postgres.errors import DatabaseUnavailableError
from shared.postgres.migrations import migrate
from shared.stages.artifacts import Artifacts
from shared.stages.results import Batches
from shared.storage.errors import StorageUnavailableError
from shared.storage.object_store import ObjectStore
from tests.integration.loader.loaded import ledger_of, pair, rows_of, thing
from tests.support.datasets import datasets_of
from tests.support.processed import a_dataset, put_file, put_processed, record_of

pytestmark = pytest.mark.integration


async def quarantine_of(staging: ObjectStore, result: BatchManifest) -> list[dict[str, Any]]:
    [artifact] = result.artifacts
    assert artifact.format == "quarantine.jsonl.zst"
    data = await staging.get(staging.key(artifact.uri, f"runs/{result.run_id}/{result.dataset}/loader/"))
    lines = [json.loads(line) for line in zstandard.decompress(data or b"").splitlines()]
    assert len(lines) == artifact.rows == result.counts.rejected == sum(result.rejected_by_reason.values())
    return lines


async def load_things(
    service: LoaderService,
    staging: ObjectStore,
    catalog: Catalog,
    rows: Sequence[dict[str, Any]],
    **more: Any,
) -> BatchManifest:
    return await service.load(await put_processed(staging, catalog["things"], rows, **more))


@pytest.mark.parametrize("order", [1, -1], ids=["straight", "merged"])
async def test_a_constraint_added_by_hand_costs_the_rows_that_break_it(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog, order: int
) -> None:
    await pool.execute('ALTER TABLE onpoint_things ADD CONSTRAINT short CHECK (length("order") < 5)')
    bad = {0, 1, 1234, 2999}
    rows = [thing(n, order="too long" if n in bad else "x") for n in range(3000)][::order]
    result = await load_things(service, staging, catalog, rows, first_position=50)
    assert result.counts == Counts(read=3000, loaded=2996, rejected=4)
    assert result.rejected_by_reason == {"schema": 4}
    assert {row["id"] for row in await rows_of(pool, "onpoint_things")} == set(range(3000)) - bad
    assert await ledger_of(pool) == [(result.batch_id, "done", 2996, 0)]
    lines = await quarantine_of(staging, result)
    assert [line["source_position"] for line in lines] == [
        50 + place for place, row in enumerate(rows) if row["id"] in bad
    ]
    assert lines[0]["detail"] == (
        'PostgreSQL: new row for relation "onpoint_things" violates check constraint "short"'
    )
    assert json.loads(lines[0]["raw"]) == rows[lines[0]["source_position"] - 50]
    assert {line["url"] for line in lines} == {None}


async def test_a_value_that_no_text_column_stores_costs_its_row(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    rows = [*(pair("x", user=u) for u in range(20_000)), pair("a\x00b", user=20_000)]
    result = await service.load(await put_processed(staging, catalog["pairs"], rows))
    assert result.counts == Counts(read=20_001, loaded=20_000, rejected=1)
    [line] = await quarantine_of(staging, result)
    assert (line["reason"], json.loads(line["raw"])["value"]) == ("nul", "a\x00b")
    assert len(await rows_of(pool, "onpoint_pairs", "user")) == 20_000


@pytest.mark.parametrize(
    ("change", "bad", "reason"),
    [
        ('ALTER "order" TYPE varchar(5)', {"order": "longer"}, "too_large"),
        ('ALTER "order" TYPE integer USING 1', {"order": "word"}, None),
        ('ALTER "select" TYPE real', {"select": 1e300}, "range"),
        ('ALTER "select" TYPE numeric(4, 2)', {"select": 123.0}, "range"),
        ('ALTER "by" SET NOT NULL', {"by": None}, "schema"),
        (
            'ALTER "order" TYPE text COLLATE "C", ADD EXCLUDE USING btree ("order" WITH =)',
            {"order": "x1"},
            "schema",
        ),
        ('ADD UNIQUE ("order")', {"order": "x1"}, "schema"),
        ('ADD EXCLUDE ("order" WITH =) DEFERRABLE INITIALLY DEFERRED', {"order": "x1"}, "schema"),
    ],
)
async def test_a_table_altered_by_hand_takes_the_rows_that_fit(
    service: LoaderService,
    staging: ObjectStore,
    pool: asyncpg.Pool,
    catalog: Catalog,
    change: str,
    bad: dict[str, Any],
    reason: str | None,
) -> None:
    await pool.execute(f"ALTER TABLE onpoint_things {change}")
    day = await pool.fetchval("SELECT current_date")
    good = {"by": day, "select": 1.5}
    rows = [thing(n, **{**good, "order": f"x{n}"}) for n in range(10)]
    rows.insert(7, thing(10, **{**good, "order": "y", **bad}))
    if reason is None:  # no row of it fits: that is the table's fault, and the batch's death
        with pytest.raises(PermanentError):
            await load_things(service, staging, catalog, rows)
        return
    result = await load_things(service, staging, catalog, rows)
    assert (result.counts, result.rejected_by_reason) == (Counts(read=11, loaded=10, rejected=1), {reason: 1})
    [line] = await quarantine_of(staging, result)
    assert line["source_position"] == 7
    assert len(await rows_of(pool, "onpoint_things")) == 10


async def test_what_a_trigger_refuses_costs_its_row(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    await pool.execute(
        "CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF NEW.\"order\" = 'bad' THEN RAISE EXCEPTION 'no % today', NEW.id; END IF; RETURN NEW; END $$"
    )
    await pool.execute(
        "CREATE TRIGGER guard BEFORE INSERT OR UPDATE ON onpoint_things FOR EACH ROW EXECUTE FUNCTION guard()"
    )
    result = await load_things(
        service, staging, catalog, [thing(1), thing(2, order="bad"), thing(3), thing(4, order="bad")]
    )
    assert result.counts == Counts(read=4, loaded=2, rejected=2)
    assert [line["detail"] for line in await quarantine_of(staging, result)] == [
        "PostgreSQL: no 2 today", "PostgreSQL: no 4 today",
    ]  # fmt: skip


async def test_a_constraint_that_waits_for_the_commit_tells_of_its_row_too(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    await pool.execute("CREATE TABLE known (name text PRIMARY KEY)")
    await pool.execute("INSERT INTO known VALUES ('x')")
    await pool.execute(
        'ALTER TABLE onpoint_things ADD FOREIGN KEY ("order") REFERENCES known DEFERRABLE INITIALLY DEFERRED'
    )
    result = await load_things(service, staging, catalog, [thing(1), thing(2, order="new"), thing(3)])
    assert result.counts == Counts(read=3, loaded=2, rejected=1)
    merged = await load_things(
        service, staging, catalog, [thing(3), thing(2, order="new")], sequence=1, first_position=3
    )
    assert merged.counts == Counts(read=2, superseded=1, rejected=1)


async def test_rows_and_keys_that_fit_no_page_cost_themselves(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, postgres_dsn: str, catalog: Catalog
) -> None:
    """The processor refuses them; here is what comes past it."""
    chance = random.Random(1)  # noqa: S311 - for tests
    wide = a_dataset({"id": "string", **{f"c{n}": "string" for n in range(600)}}, key=["id"], name="wide")
    await migrate(postgres_dsn, [], [wide])
    narrow = Catalog({**catalog, "wide": wide})
    texts = ["".join(chance.choices(string.ascii_letters, k=30)) for _ in range(600)]
    rows: list[dict[str, Any]] = [{"id": f"{n}", "c0": "x"} for n in range(50)]
    rows[20] = {"id": "20", **{f"c{n}": text for n, text in enumerate(texts)}}
    rows[30] = {"id": "".join(chance.choices(string.ascii_letters, k=3000))}
    service = LoaderService(Batches(staging, "loader"), LoadRepository(pool), datasets_of(narrow))
    result = await service.load(await put_processed(staging, wide, rows))
    assert result.counts == Counts(read=50, loaded=48, rejected=2)
    lines = await quarantine_of(staging, result)
    assert [(line["source_position"], line["reason"]) for line in lines] == [
        (20, "too_large"),
        (30, "too_large"),
    ]
    assert "row is too big" in lines[0]["detail"]


@pytest.mark.parametrize("rows", [1, 2, 3, 50])
async def test_a_table_that_takes_no_row_kills_the_batch_which_is_loaded_once_it_does(
    handlers: Handlers, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog, rows: int
) -> None:
    await pool.execute("ALTER TABLE onpoint_things ADD CONSTRAINT negative CHECK (id < 0)")
    batch = await put_processed(staging, catalog["things"], [thing(n) for n in range(rows)])
    record = record_of(batch, batch.batch_id)
    with pytest.raises(
        PermanentError, match=f"^PostgreSQL refuses all of its {rows} rows, so none is loaded: mend"
    ):
        await handlers.on_batch_processed(record)
    assert await ledger_of(pool) == []
    await pool.execute("ALTER TABLE onpoint_things DROP CONSTRAINT negative")
    await handlers.on_batch_processed(record)
    assert await ledger_of(pool) == [(batch.batch_id, "done", rows, 0)]


async def test_as_many_rows_may_be_refused_as_the_bound_allows(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    await pool.execute("ALTER TABLE onpoint_things ADD CHECK (id < 1)")
    result = await load_things(service, staging, catalog, [thing(n) for n in range(MAX_REFUSED + 1)])
    assert result.counts == Counts(read=MAX_REFUSED + 1, loaded=1, rejected=MAX_REFUSED)
    assert result.nulls == {"by": 1, "id": 0, "order": 0, "select": 1, "time": 1, "type": 1}
    assert len(await quarantine_of(staging, result)) == MAX_REFUSED


async def test_more_refused_rows_than_the_bound_kill_the_batch(
    handlers: Handlers, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    await pool.execute("ALTER TABLE onpoint_things ADD CONSTRAINT negative CHECK (id % 2 > 0)")
    batch = await put_processed(staging, catalog["things"], [thing(n) for n in range(1, 251)])
    record = record_of(batch, batch.batch_id)
    with pytest.raises(PermanentError) as caught:
        await handlers.on_batch_processed(record)
    assert str(caught.value) == (
        f"PostgreSQL refuses more than {MAX_REFUSED} of its 250 rows, so none is loaded: mend the table, then replay "
        'the dead letter. The first, at position 1: PostgreSQL: new row for relation "onpoint_things" violates check '
        'constraint "negative"'
    )
    assert (await handlers.mark_failed(record, caught.value)).dead
    assert await rows_of(pool, "onpoint_things") == []
    assert await ledger_of(pool) == [(batch.batch_id, "dead", 0, 0)]


async def test_refused_rows_are_found_in_whatever_row_group_they_are(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog, tmp_path: Path
) -> None:
    bad = {0, 99, 100, 101, 555, 999}
    rows = [
        {**thing(n, order="b\0d" if n in bad else f"x{n}"), "type": n % 3 == 0, "_run_id": "run-1",
         "_batch_id": "b", "_requested_at": 0, "_source_position": n}
        for n in range(1000)
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=clean_schema(catalog["things"]))
    pq.write_table(table, tmp_path / "clean.parquet", row_group_size=100)
    result = await service.load(
        await put_file(staging, catalog["things"], tmp_path / "clean.parquet", rows=1000)
    )
    assert {line["source_position"] for line in await quarantine_of(staging, result)} == bad
    found = await rows_of(pool, "onpoint_things")
    assert [(row["id"], row["order"], row["type"]) for row in found] == [
        (n, f"x{n}", n % 3 == 0) for n in range(1000) if n not in bad
    ]


async def test_rows_of_other_runs_are_met_as_always(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    """A refused row neither replaces one nor counts as one that lost."""
    await load_things(service, staging, catalog, [thing(n, order="old") for n in range(10)], run_id="run-0")
    await pool.execute("ALTER TABLE onpoint_things ADD CHECK (\"order\" <> 'bad')")
    first = await load_things(
        service, staging, catalog, [thing(n, order="bad" if n == 4 else "new") for n in range(3, 8)]
    )
    assert (first.counts, first.repeated) == (Counts(read=5, loaded=4, rejected=1), 0)
    second = await load_things(
        service,
        staging,
        catalog,
        [thing(n, order="bad" if n == 6 else "late") for n in range(5, 12)],
        sequence=1,
        first_position=5,
    )
    assert (second.counts, second.repeated) == (Counts(read=7, loaded=4, superseded=2, rejected=1), 0)
    assert [row["order"] for row in await rows_of(pool, "onpoint_things")] == [
        "old", "old", "old", "new", "old", "late", "new", "late", "late", "late", "late", "late",
    ]  # fmt: skip


async def test_only_nulls_of_rows_that_were_not_refused_count(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    await pool.execute('ALTER TABLE onpoint_things ADD CHECK ("order" IS NOT NULL)')
    result = await load_things(
        service, staging, catalog, [thing(1), thing(2, order=None), thing(3, select=1.0)]
    )
    assert result.nulls == {"by": 2, "id": 0, "order": 0, "select": 1, "time": 2, "type": 2}


async def test_a_batch_with_refused_rows_is_loaded_once_by_the_first_loader(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    await pool.execute("ALTER TABLE onpoint_things ADD CHECK (id <> 77)")
    batch = await put_processed(staging, catalog["things"], [thing(n) for n in range(500)])
    before = ROWS_REJECTED.labels("loader", "things", "schema")._value.get()  # noqa: SLF001 - no other way
    results = await asyncio.gather(*(service.load(batch) for _ in range(3)))
    results.append(await service.load(batch))
    assert all(result == results[0] for result in results)
    assert results[0].counts == Counts(read=500, loaded=499, rejected=1)
    assert ROWS_REJECTED.labels("loader", "things", "schema")._value.get() - before == 1  # noqa: SLF001 - as above
    assert len(await rows_of(pool, "onpoint_things")) == 499


async def test_an_outage_of_the_store_leaves_nothing_and_the_next_try_is_right(
    service: LoaderService,
    staging: ObjectStore,
    pool: asyncpg.Pool,
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await pool.execute("ALTER TABLE onpoint_things ADD CHECK (id <> 7)")
    batch = await put_processed(staging, catalog["things"], [thing(n) for n in range(50)])

    async def away(*_: Any, **__: Any) -> None:
        raise StorageUnavailableError("away")

    with monkeypatch.context() as patched:
        patched.setattr(Artifacts, "put", away)
        with pytest.raises(StorageUnavailableError):
            await service.load(batch)
    assert await rows_of(pool, "onpoint_things") == []
    assert await ledger_of(pool) == []
    result = await service.load(batch)
    assert result.counts == Counts(read=50, loaded=49, rejected=1)
    assert len(await quarantine_of(staging, result)) == 1


@pytest.mark.parametrize("constraint", ["onpoint_things_pkey", "onpoint_things_pkey_ccnew"])
async def test_a_conflict_of_the_key_s_own_index_is_an_outage(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog, constraint: str
) -> None:
    """An index that is rebuilt during a load raises this; the second constraint is gone when it is looked up."""
    await pool.execute(
        "CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE unique_violation "
        f"USING CONSTRAINT = '{constraint}', TABLE = 'onpoint_things'; END $$"
    )
    await pool.execute(
        "CREATE TRIGGER guard BEFORE INSERT ON onpoint_things FOR EACH ROW EXECUTE FUNCTION guard()"
    )
    with pytest.raises(DatabaseUnavailableError):
        await load_things(service, staging, catalog, [thing(1)])
    await pool.execute("DROP TRIGGER guard ON onpoint_things")
    result = await load_things(service, staging, catalog, [thing(1)])
    assert (result.counts, result.rejected_by_reason) == (Counts(read=1, loaded=1), {})
