from services.loader.adapters import statements
from tests.support.processed import a_dataset

DATASET = a_dataset({"order": "int64", "user": "string", "time": "timestamp"}, key=["order"])


def test_reserved_words_are_quoted_wherever_they_stand() -> None:
    sql = statements.merge(DATASET)
    assert 'ON CONFLICT ("order")' in sql
    assert '"user" = excluded."user"' in sql
    assert 'WHERE same."order" = came."order" OFFSET' in statements.count_of_run(DATASET)
    assert '"order" bigint, "user" text, "time" timestamp with time zone' in statements.create_incoming(
        DATASET
    )


def test_a_winning_row_writes_every_column_but_the_key() -> None:
    changes = statements.merge(DATASET).split("DO UPDATE SET ")[1].split("WHERE")[0]
    written = [change.split(" = ")[0].strip() for change in changes.split(", ")]
    assert written == [
        '"user"', '"time"', '"_run_id"', '"_batch_id"', '"_requested_at"', '"_source_position"', '"etl_processed_at"',
    ]  # fmt: skip


def test_run_ids_are_compared_by_their_bytes() -> None:
    assert statements.merge(DATASET).count('_run_id COLLATE "C"') == 2


def test_rows_are_taken_in_the_order_of_the_key() -> None:
    assert 'FROM onpoint_incoming ORDER BY "order"' in statements.merge(DATASET)


def test_older_servers_get_the_same_rows_in_the_same_order() -> None:
    insert = statements.merge(DATASET).partition("INSERT INTO")[2].partition("RETURNING")[0]
    assert insert in statements.merge_locked(DATASET)
    assert 'FROM onpoint_incoming ORDER BY "order"' in statements.lock_stored(DATASET)


def test_older_servers_bound_the_copy_instead_of_the_transaction() -> None:
    assert "SET LOCAL transaction_timeout = 60000" in statements.straight_limits(17)
    assert "set_config('statement_timeout', '60000', true)" in statements.straight_limits(16)
