"""A table fits its dataset, or `migrate` reports what does not."""

import asyncpg
import pytest

from shared.datasets.model import Dataset
from shared.datasets.type_spelling import type_of
from shared.datasets.width import ROW_BYTES, full_row_bytes
from shared.errors import ConfigurationError
from shared.postgres.migrations import Migration, TablesError, migrate
from tests.support.processed import a_dataset

pytestmark = pytest.mark.integration


def things(*key: str) -> Dataset:
    return a_dataset({"id": "int64", "order": "string", "owner": "int64"}, key=key)


@pytest.mark.parametrize(
    ("before", "after", "refusal"),
    [
        (
            ["id"],
            ["id", "owner"],
            r"table onpoint_things: its key is \(id\), its dataset file declares \(id, owner\); ",
        ),
        (["id", "owner"], ["id"], r"is \(id, owner\), its dataset file declares \(id\); "),
        (["id"], ["order"], r"is \(id\), its dataset file declares \(order\); "),
    ],
)
async def test_a_key_that_changed_is_refused_with_both_keys_and_a_way_out(
    postgres_dsn: str, before: list[str], after: list[str], refusal: str
) -> None:
    await migrate(postgres_dsn, [], [things(*before)])
    with pytest.raises(ConfigurationError, match=refusal + ".*put the old key back"):
        await migrate(postgres_dsn, [], [things(*after)])


async def test_a_table_without_a_primary_key_is_refused(postgres_dsn: str) -> None:
    await migrate(postgres_dsn, [], [things("id")])
    connection = await asyncpg.connect(postgres_dsn)
    await connection.execute("ALTER TABLE public.onpoint_things DROP CONSTRAINT onpoint_things_pkey")
    await connection.close()
    with pytest.raises(ConfigurationError, match=r"is \(\), its dataset file declares \(id\)"):
        await migrate(postgres_dsn, [], [things("id")])


@pytest.mark.parametrize("key", [["id"], ["order", "id", "owner"]])
async def test_the_same_key_in_any_order_is_the_same(postgres_dsn: str, key: list[str]) -> None:
    """A merge finds the index by the columns alone."""
    assert await migrate(postgres_dsn, [], [things(*key)]) != []
    assert await migrate(postgres_dsn, [], [things(*key)]) == []
    assert await migrate(postgres_dsn, [], [things(*reversed(key))]) == []


async def test_a_type_that_changed_is_refused_with_both_types_and_ways_out(postgres_dsn: str) -> None:
    await migrate(postgres_dsn, [], [things("id")])
    changed = a_dataset({"id": "int64", "order": "int64", "owner": "int64", "more": "date"}, key=["id"])
    with pytest.raises(TablesError) as caught:
        await migrate(postgres_dsn, [], [changed])
    message = str(caught.value)
    assert "column order is text there, and its dataset file declares int64 (bigint)" in message
    assert "put `type: string` back in the file" in message
    assert (
        'ALTER TABLE public."onpoint_things" ALTER COLUMN "order" TYPE bigint USING "order"::bigint'
        in message
    )
    assert "more" not in await columns_of(postgres_dsn, "onpoint_things"), "nothing was changed"
    await run_sql(postgres_dsn, message[message.index("ALTER TABLE") : message.index("; then")])
    assert await migrate(postgres_dsn, [], [changed]) == ["table onpoint_things: column more"]


async def test_a_table_that_fails_keeps_no_other_from_being_made(postgres_dsn: str) -> None:
    await migrate(postgres_dsn, [], [things("id")])
    one, two = (a_dataset({"id": "int64"}, key=["id"], name=name) for name in ("one", "two"))
    with pytest.raises(TablesError) as caught:
        await migrate(postgres_dsn, [Migration("x", "1.sql", "SELECT 1")], [one, things("owner"), two])
    assert [(each.dataset, each.table) for each in caught.value.failures] == [("things", "onpoint_things")]
    assert caught.value.done == (
        "x: 1.sql",
        "table onpoint_one",
        "table onpoint_one: index of its runs",
        "table onpoint_two",
        "table onpoint_two: index of its runs",
    )
    assert await migrate(postgres_dsn, [], [one, two]) == []


async def test_a_table_that_onpoint_did_not_make_is_left_as_it_is(postgres_dsn: str) -> None:
    await run_sql(postgres_dsn, "CREATE TABLE onpoint_things (id bigint PRIMARY KEY, price numeric)")
    with pytest.raises(TablesError, match="OnPoint did not make it"):
        await migrate(postgres_dsn, [], [things("id")])
    assert await columns_of(postgres_dsn, "onpoint_things") == ["id", "price"]


async def test_what_postgresql_refuses_is_told_with_its_table(postgres_dsn: str) -> None:
    await run_sql(postgres_dsn, "CREATE TYPE onpoint_things AS (x int)")
    with pytest.raises(TablesError, match="dataset things: table onpoint_things: "):
        await migrate(postgres_dsn, [], [things("id")])


async def test_a_column_that_a_file_gained_is_added(postgres_dsn: str) -> None:
    await migrate(postgres_dsn, [], [things("id")])
    more = a_dataset({"id": "int64", "order": "string", "owner": "int64", "more": "date"}, key=["id"])
    assert await migrate(postgres_dsn, [], [more]) == ["table onpoint_things: column more"]


@pytest.mark.parametrize(
    ("first", "later", "words"),
    [
        (
            "int64",
            "decimal(18,4)",
            "more is bigint there, and its dataset file declares decimal(18,4) (numeric(18,4))",
        ),
        (
            "decimal(18,4)",
            "decimal(9,2)",
            "more is numeric(18,4) there, .* put `type: decimal(18,4)` back in the file",
        ),
        ("list<uuid>", "json", "more is uuid[] there, .* put `type: list<uuid>` back in the file"),
        ("time", "duration", "more is time without time zone there, .* declares duration (interval)"),
    ],
)
async def test_a_column_of_another_type_is_told_with_the_way_back(
    postgres_dsn: str, first: str, later: str, words: str
) -> None:
    await migrate(postgres_dsn, [], [a_dataset({"id": "int64", "more": first}, key=["id"])])
    with pytest.raises(TablesError) as refused:
        await migrate(postgres_dsn, [], [a_dataset({"id": "int64", "more": later}, key=["id"])])
    for part in words.split(".* "):
        assert part in str(refused.value)


@pytest.mark.parametrize(
    ("first", "later"), [("int8", "int16"), ("string", "enum(a)"), ("json", "list<json>")]
)
async def test_a_column_of_the_same_type_in_postgresql_stays(
    postgres_dsn: str, first: str, later: str
) -> None:
    await migrate(postgres_dsn, [], [a_dataset({"id": "int64", "more": first}, key=["id"])])
    assert await migrate(postgres_dsn, [], [a_dataset({"id": "int64", "more": later}, key=["id"])]) == []


LINEAGE = f"'r', '{'b' * 32}', now(), 0, now()"
VALUES = {
    "int64": "1",
    "float64": "1",
    "timestamp": "now()",
    "time": "'08:30'",
    "duration": "'1 s'",
    "uuid": "gen_random_uuid()",
    "decimal(9,2)": "0",
}


def most_columns(kind: str, room: int) -> int:
    return max(count for count in range(1, 1500) if full_row_bytes([type_of(kind)] * count) <= room)


@pytest.mark.parametrize("kind", VALUES)
async def test_the_widest_row_that_a_file_may_have_fits_with_and_without_a_null(
    postgres_dsn: str, kind: str
) -> None:
    most, value = most_columns(kind, ROW_BYTES), VALUES[kind]
    await migrate(postgres_dsn, [], [a_dataset({f"c{n}": kind for n in range(most)}, key=["c0"])])
    for values in ([value] * most, [*[value] * (most - 1), "NULL"]):
        rows = f"VALUES ({', '.join(values)}, {LINEAGE})"
        await run_sql(postgres_dsn, f"TRUNCATE onpoint_things; INSERT INTO onpoint_things {rows}")


async def test_postgresql_refuses_what_is_refused_here(postgres_dsn: str) -> None:
    """The first number of columns whose row is too wide even with one of them null."""
    count = most_columns("int64", ROW_BYTES + 8) + 1
    await migrate(postgres_dsn, [], [a_dataset({f"c{n}": "int64" for n in range(900)}, key=["c0"])])
    more = ", ".join(f"ADD COLUMN d{n} bigint" for n in range(count - 900))
    await run_sql(postgres_dsn, f"ALTER TABLE onpoint_things {more}")
    values = f"{', '.join(['1'] * 900)}, {LINEAGE}, {', '.join(['1'] * (count - 901))}, NULL"
    with pytest.raises(asyncpg.ProgramLimitExceededError, match="row is too big"):
        await run_sql(postgres_dsn, f"INSERT INTO onpoint_things VALUES ({values})")


async def run_sql(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def columns_of(dsn: str, table: str) -> list[str]:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 ORDER BY attnum",
            table,
        )
        return [row["attname"] for row in rows]
    finally:
        await connection.close()
