"""The processor's prediction of a row's size matches the size that a real PostgreSQL reports."""

import random
import string
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pyarrow as pa
import pytest

from services.processor.domain.parse_schema import parse_schema_of
from services.processor.domain.room import MAX_ROW_BYTES, RowRoom
from shared.datasets.arrow import data_schema
from shared.datasets.model import Dataset
from shared.postgres.tables import create_table_sql
from tests.support.crawled import a_dataset

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 23, tzinfo=UTC)
RUN_ID, BATCH_ID = "2026-11-23-daily", "0f1e2d3c4b5a69788796a5b4c3d2e1f0"


@pytest.fixture
async def connection(postgres_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(postgres_dsn)
    yield connection
    await connection.close()


def wide(kinds: Sequence[str]) -> Dataset:
    columns = [{"name": f"c{place}", "type": kind} for place, kind in enumerate(kinds)]
    return a_dataset([{"name": "id", "type": "int64"}, *columns], key=["id"], name="wide")


async def size_in_postgres(connection: asyncpg.Connection, row: Sequence[Any], run_id: str) -> int | None:
    """The size that PostgreSQL reports for a row that it refuses; None for one that it stores."""
    try:
        async with connection.transaction():
            await connection.copy_records_to_table(
                "onpoint_wide", schema_name="public", records=[(*row, run_id, BATCH_ID, NOW, 0, NOW)]
            )
    except asyncpg.ProgramLimitExceededError as error:
        return int(str(error).split("size ")[1].split(",")[0])
    return None


async def compare(
    connection: asyncpg.Connection, dataset: Dataset, rows: list[list[Any]], run_id: str = RUN_ID
) -> tuple[int, int]:
    """How many rows are stored and how many refused; prediction and PostgreSQL agree on each row and its size."""
    await connection.execute(create_table_sql(dataset))
    columns = list(map(list, zip(*rows, strict=True)))
    schema = data_schema(dataset)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    predicted = RowRoom(parse_schema_of(dataset).targets, run_id, BATCH_ID).too_wide(batch)
    found = [await size_in_postgres(connection, row, run_id) for row in rows]
    sizes = {row.place: row.bytes for row in predicted}
    assert [sizes.get(place) for place in range(len(rows))] == found
    return found.count(None), len(found) - found.count(None)


def a_text(length: int, chance: random.Random) -> str:
    """A text that compression does not shorten."""
    return "".join(chance.choices(string.ascii_letters + string.digits, k=length))


def a_value(kind: str, chance: random.Random, *, long: bool) -> Any:
    match kind:
        case "string":
            return a_text(
                chance.choice([24, 31, 32, 126, 127, 300]) if long else chance.randrange(24), chance
            )
        case "boolean":
            return chance.random() < 0.5
        case "date":
            return NOW.date()
        case "timestamp":
            return NOW
        case "float64":
            return chance.random()
    return chance.getrandbits(40)


async def test_texts_of_every_length(connection: asyncpg.Connection) -> None:
    """Row sizes around the limit, byte by byte."""
    chance = random.Random(1)  # noqa: S311 - for tests
    rows: list[list[Any]] = []
    for filled in (440, 445, 450):
        for spare in range(24):
            texts = [a_text(chance.choice([24, 25, 31, 32, 126, 127, 300]), chance) for _ in range(filled)]
            rows.append([len(rows), *texts, a_text(spare, chance), *[None] * (599 - filled)])
    taken, refused = await compare(connection, wide(["string"] * 600), rows)
    assert taken > 10
    assert refused > 10


@pytest.mark.parametrize("seed", [1, 2])
async def test_mixed_columns_with_nulls_anywhere(connection: asyncpg.Connection, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - for tests
    kinds = chance.choices(["string", "int64", "boolean", "date", "timestamp", "float64"], k=1000)
    rows = []
    for number in range(40):
        share = 0.7 + chance.random() * 0.3
        rows.append(
            [
                number,
                *(
                    a_value(kind, chance, long=chance.random() < 0.5) if chance.random() < share else None
                    for kind in kinds
                ),
            ]
        )
    taken, refused = await compare(connection, wide(kinds), rows)
    assert taken > 5
    assert refused > 5


@pytest.mark.parametrize("length", [1, 23, 24, 128])
async def test_the_name_of_the_run_counts_too(connection: asyncpg.Connection, length: int) -> None:
    chance = random.Random(5)  # noqa: S311 - for tests
    rows = [
        [n, *(a_text(17, chance) for _ in range(445)), a_text(n % 24, chance), *[None] * 54]
        for n in range(24)
    ]
    await compare(connection, wide(["string"] * 500), rows, run_id=a_text(length, chance))


async def test_a_row_is_never_refused_that_compression_makes_fit(connection: asyncpg.Connection) -> None:
    dataset = wide(["string"] * 500)
    await connection.execute(create_table_sql(dataset))
    texts = ["x" * 32, "x" * 300, "ab" * 40, "abc" * 100, "0000-" * 20, "abcdef" * 50, "abcdefgh" * 50]
    rows = [[n, *[text] * 480, *[None] * 20] for n, text in enumerate(texts)]
    schema = data_schema(dataset)
    batch = pa.RecordBatch.from_pylist(
        [dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema
    )
    predicted = RowRoom(parse_schema_of(dataset).targets, RUN_ID, BATCH_ID).too_wide(batch)
    sizes = {n: await size_in_postgres(connection, row, RUN_ID) for n, row in enumerate(rows)}
    taken = {n for n, size in sizes.items() if size is None}
    assert taken
    assert not taken & {row.place for row in predicted}
    assert all(MAX_ROW_BYTES < row.bytes <= (sizes[row.place] or 0) for row in predicted)
