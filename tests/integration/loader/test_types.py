"""Values of every type, from the records of a source to PostgreSQL, value for value."""

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from services.loader.adapters.encoder import encode_copy
from services.loader.adapters.repository import LoadRepository
from services.loader.service import LoaderService
from services.processor.domain.lines import Chunk
from services.processor.domain.parse import Watch, parse_chunk
from services.processor.domain.parse_schema import parse_schema_of
from services.processor.service import ProcessorService
from shared.datasets.model import Dataset
from shared.datasets.types import KINDS, Type
from shared.events.models import Artifact
from shared.postgres.migrations import migrate
from shared.postgres.tables import create_table_sql
from shared.stages.results import Batches
from shared.storage.object_store import open_memory
from tests.support.crawled import a_dataset, put_crawled
from tests.support.datasets import datasets_of
from tests.support.every_type import ENUM, PLAIN, TYPES, Written, in_postgres, values

ARTIFACT = Artifact(uri="memory://staging/x", format="parquet", rows=1, bytes=1, sha256="0" * 64)
EVERY = (
    *(Type(KINDS[name]) for name in PLAIN),
    Type(KINDS["decimal"], 18, 4),
    Type(KINDS["decimal"], 38, 38),
    Type(KINDS["enum"], values=ENUM),
)
LISTS = tuple(Type(KINDS["list"], item=kind) for kind in EVERY)


@st.composite
def rows_of_types(draw: st.DrawFn) -> tuple[list[Type], list[list[Written]]]:
    types = draw(st.lists(TYPES, min_size=1, max_size=6))
    return types, draw(st.lists(st.tuples(*map(values, types)).map(list), min_size=1, max_size=4))


@settings(
    deadline=None,
    max_examples=60,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
@given(rows_of_types())
async def test_any_value_arrives_in_postgresql_as_it_is(
    postgres_dsn: str, tmp_path: Path, found: tuple[list[Type], list[list[Written]]]
) -> None:
    await _look(postgres_dsn, tmp_path, *found)


@settings(
    deadline=None,
    max_examples=25,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
@given(st.data())
async def test_a_row_of_every_type_and_of_lists_of_each_arrives(
    postgres_dsn: str, tmp_path: Path, data: st.DataObject
) -> None:
    types = [*EVERY, *LISTS]
    rows = data.draw(st.lists(st.tuples(*map(values, types)).map(list), min_size=1, max_size=3))
    await _look(postgres_dsn, tmp_path, types, rows)


async def _look(dsn: str, folder: Path, types: list[Type], rows: list[list[Written]]) -> None:
    columns = [{"name": f"c{place}", "type": str(kind)} for place, kind in enumerate(types)]
    dataset = a_dataset([{"name": "id", "type": "int64"}, *columns], key=["id"])
    table = _processed(dataset, rows, folder / "clean.parquet")
    stored = await _loaded(dsn, dataset, folder / "clean.parquet")
    assert len(stored) == len(rows)
    for place, kind in enumerate(types):
        expected = [in_postgres(kind, row[place][1]) for row in rows]
        got = [_decoded(kind, row[f"c{place}"]) for row in stored]
        assert got == expected, str(kind)
        assert table.column(place + 1).to_pylist() == [row[place][1] for row in rows]


def _processed(dataset: Dataset, rows: Sequence[Sequence[Written]], file: Path) -> pa.Table:
    """As the processor writes them; read back from Parquet."""
    lines = [
        "{"
        + ", ".join([f'"id": {n}', *(f'"c{place}": {text}' for place, (text, _) in enumerate(row))])
        + "}\n"
        for n, row in enumerate(rows)
    ]
    schema = parse_schema_of(dataset)
    chunk = Chunk(0, len(lines), "".join(lines).encode())
    [parsed] = parse_chunk(chunk, 0, schema, Watch(schema, "run-1", "0" * 32))
    assert parsed.refused == ()
    pq.write_table(pa.Table.from_batches([parsed.rows]).drop_columns("_source_position"), file)
    return pq.read_table(file)


async def _loaded(dsn: str, dataset: Dataset, file: Path) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"DROP TABLE IF EXISTS public.{dataset.table}")
        await connection.execute(create_table_sql(dataset))
        await connection.execute(f"CREATE TEMP TABLE came (LIKE public.{dataset.table})")
        await connection.execute(
            "ALTER TABLE came "
            + ", ".join(
                f"ALTER COLUMN {name} DROP NOT NULL"
                for name in ("_run_id", "_batch_id", "_requested_at", "_source_position", "etl_processed_at")
            )
        )
        with pq.ParquetFile(file) as parquet:
            await connection.copy_to_table(
                "came", source=encode_copy(parquet, ARTIFACT, dataset), format="binary",
                columns=parquet.schema_arrow.names,
            )  # fmt: skip
        return list(await connection.fetch("SELECT * FROM came ORDER BY id"))
    finally:
        await connection.close()


def _decoded(kind: Type, value: Any) -> Any:
    if value is None:
        return None
    if kind.postgres == "jsonb":
        return json.loads(value, parse_int=Decimal, parse_float=Decimal)
    if kind.item is not None:
        return [_decoded(kind.item, item) for item in value]
    return str(value) if kind.name == "uuid" else value


SHELF = a_dataset(
    [
        {"name": "id", "type": "uuid"},
        {"name": "price", "type": "decimal(18,4)"},
        *({"name": f"c{place}", "type": str(kind)} for place, kind in enumerate((*EVERY, *LISTS))),
        {
            "name": "parts",
            "type": "list<struct<sku: string, price: decimal(10,2), lasts: duration, doc: json>>",
        },
    ],
    key=["id", "price"],
    name="shelf",
)
_SINGLE = (
    '"x"', "1", "1", "1", "1", "0.1", "0.1", "true", '"2026-11-29T10:00:00Z"', '"2026-11-29"', '"08:30"', "1.5",
    f'"{"0" * 32}"', '"AAH/"', '{"a": [1.50, null]}', "1.5", "0.5", '"new"',
)  # fmt: skip
SAMPLES = (*_SINGLE, *(f"[{text}, null]" for text in _SINGLE))
PARTS = '[{"sku": "a\\"\\\\", "price": 1.5, "lasts": "PT1S", "doc": {"b": 1, "a": [1.50]}}, null]'


def shelf(number: int, *, price: str = "0.0001") -> bytes:
    values = ", ".join(f'"c{place}": {"null" if number % 2 else text}' for place, text in enumerate(SAMPLES))
    identity = f"00000000-0000-4000-8000-{number:012}"
    return f'{{"id": "{identity}", "price": "{price}", {values}, "parts": {PARTS}}}'.encode()


async def test_every_type_goes_the_whole_way_and_is_merged(postgres_dsn: str, pool: asyncpg.Pool) -> None:
    """Two runs of the same records, one of them twice in each: the second changes nothing but the lineage."""
    await migrate(postgres_dsn, [], [SHELF])
    staging, files = open_memory("staging"), {"shelf": SHELF}
    lines = [shelf(1), shelf(2), shelf(2), shelf(3, price="1.00005")]
    found = []
    for run_id in ("run-1", "run-2"):
        processor = ProcessorService(Batches(staging, "processor"), datasets_of(files, staging))
        loader = LoaderService(Batches(staging, "loader"), LoadRepository(pool), datasets_of(files, staging))
        processed = await processor.process(await put_crawled(staging, "shelf", lines, run_id=run_id))
        assert (processed.counts.accepted, processed.counts.rejected) == (2, 1)
        assert (processed.counts.deduplicated, processed.repeated) == (1, 1)
        loaded = await loader.load(processed)
        assert (loaded.counts.loaded, loaded.counts.superseded) == (2, 0)
        assert loaded.nulls is not None
        assert (loaded.nulls["c0"], loaded.nulls["c30"], loaded.nulls["parts"]) == (1, 1, 0)
        own = ", ".join(column.name for column in SHELF.columns)
        found.append(await pool.fetch(f"SELECT {own} FROM onpoint_shelf ORDER BY id"))
    assert found[0] == found[1]
    assert found[0][0]["price"] == Decimal("0.0001")
    assert json.loads(found[0][0]["parts"]) == [
        {"sku": 'a"\\', "price": 1.5, "lasts": 1, "doc": {"a": [1.5], "b": 1}}, None
    ]  # fmt: skip


async def test_a_row_of_every_type_that_is_refused_is_kept(postgres_dsn: str, pool: asyncpg.Pool) -> None:
    await migrate(postgres_dsn, [], [SHELF])
    await pool.execute("ALTER TABLE onpoint_shelf ADD CHECK (id <> '00000000-0000-4000-8000-000000000002')")
    staging, files = open_memory("staging"), {"shelf": SHELF}
    processor = ProcessorService(Batches(staging, "processor"), datasets_of(files, staging))
    loader = LoaderService(Batches(staging, "loader"), LoadRepository(pool), datasets_of(files, staging))
    crawled = await put_crawled(staging, "shelf", [shelf(1), shelf(2)])
    loaded = await loader.load(await processor.process(crawled))
    assert (loaded.counts.loaded, loaded.counts.rejected) == (1, 1)
    [artifact] = loaded.artifacts
    data = await staging.get(staging.key(artifact.uri, "runs/"))
    line = json.loads(zstandard.decompress(data or b""))
    assert json.loads(line["raw"])["price"] == "0.0001"
