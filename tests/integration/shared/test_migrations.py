"""A table fits its dataset, or `migrate` says what does not."""

import asyncpg
import pytest

from shared.datasets.model import Dataset
from shared.errors import ConfigurationError
from shared.postgres.migrations import migrate
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
            r"the key of onpoint_things is \(id\), its dataset file says \(id, owner\): ",
        ),
        (["id", "owner"], ["id"], r"is \(id, owner\), its dataset file says \(id\): "),
        (["id"], ["order"], r"is \(id\), its dataset file says \(order\): "),
    ],
)
async def test_a_key_that_changed_is_refused_with_both_keys_and_a_way_out(
    postgres_dsn: str, before: list[str], after: list[str], refusal: str
) -> None:
    await migrate(postgres_dsn, [], [things(*before)])
    with pytest.raises(ConfigurationError, match=refusal + "put the old key back"):
        await migrate(postgres_dsn, [], [things(*after)])


async def test_a_table_without_a_primary_key_is_refused(postgres_dsn: str) -> None:
    await migrate(postgres_dsn, [], [things("id")])
    connection = await asyncpg.connect(postgres_dsn)
    await connection.execute("ALTER TABLE public.onpoint_things DROP CONSTRAINT onpoint_things_pkey")
    await connection.close()
    with pytest.raises(ConfigurationError, match=r"is \(\), its dataset file says \(id\)"):
        await migrate(postgres_dsn, [], [things("id")])


@pytest.mark.parametrize("key", [["id"], ["order", "id", "owner"]])
async def test_the_same_key_in_any_order_is_the_same(postgres_dsn: str, key: list[str]) -> None:
    """A merge finds the index by the columns alone."""
    assert await migrate(postgres_dsn, [], [things(*key)]) != []
    assert await migrate(postgres_dsn, [], [things(*key)]) == []
    assert await migrate(postgres_dsn, [], [things(*reversed(key))]) == []
