"""The loader's SQL: all of it, with every name quoted."""

from shared.datasets.lineage import LINEAGE, LINEAGE_NAMES
from shared.datasets.model import Dataset
from shared.postgres.identifiers import quote, quote_all
from shared.postgres.versions import LIMITS_TRANSACTIONS

INCOMING = "onpoint_incoming"
"""The temporary table of one transaction: it is gone at its end."""

INCOMING_MEMORY = "64MB"
"""For the temporary table, and for sorting it. A batch of 50,000 rows of 500 bytes stays in memory: with the
server's defaults (8 and 4 MB) both spill, and a load takes 1.4 to 2 times as long."""

FIND = "SELECT result FROM onpoint_loader.loaded_batches WHERE batch_id = $1"

CLAIM = """
INSERT INTO onpoint_loader.loaded_batches (batch_id, run_id, dataset, status, result)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
RETURNING true
"""

RECORD = """
UPDATE onpoint_loader.loaded_batches
SET rows_loaded = $2, rows_superseded = $3, result = $4
WHERE batch_id = $1
"""

CLEAR_FAILURE = "DELETE FROM onpoint_loader.loaded_batches WHERE batch_id = $1 AND status = 'dead'"


HAS_NOTHING_BETWEEN = "SELECT NOT EXISTS (SELECT FROM public.{table} WHERE {key} BETWEEN $1 AND $2)"

IMMEDIATELY = "SET CONSTRAINTS ALL IMMEDIATE"
"""A deferred constraint would fail at the commit, when the row can no longer be found."""

STRAIGHT_MS = 60_000
"""Rows copied straight into the table are locked until the commit: the transaction of a process that is paused
meanwhile ends after this time."""


EMPTY_INCOMING = f"TRUNCATE {INCOMING}"

COLUMNS_OF_INDEX = """
SELECT coalesce(array_agg(a.attname::text) FILTER (WHERE a.attname IS NOT NULL), '{}')
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
WHERE i.indrelid = to_regclass($1) AND c.relname = $2
GROUP BY i.indexrelid
"""
"""No row where the table ($1) has no such index."""


COLUMNS_OF_TABLE = """
SELECT coalesce(array_agg(attname::text), '{}') FROM pg_attribute
WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
"""
"""Empty where there is no such table."""


TYPES_OF_TABLE = """
SELECT attname::text AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute
WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped
"""

EVOLVE = "SELECT onpoint_loader.evolve_column($1, $2, $3)"
"""Adds a column to a table ($1), or makes it wider; returns the type that it then has."""

GRANT_EVOLVE = "SELECT format('GRANT EXECUTE ON FUNCTION onpoint_loader.evolve_column TO %I', current_user)"

MISSING_GRANTS = """
SELECT format('GRANT USAGE ON SCHEMA public TO %I', current_user)
WHERE NOT has_schema_privilege('public', 'USAGE')
UNION ALL
SELECT format('GRANT %s ON public.%I TO %I', string_agg(privilege, ', '), $1::text, current_user)
FROM pg_class c, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) AS privilege
WHERE c.relnamespace = 'public'::regnamespace AND c.relname = $1 AND NOT has_table_privilege(c.oid, privilege)
HAVING count(*) > 0
UNION ALL
SELECT format('GRANT TEMPORARY ON DATABASE %I TO %I', current_database(), current_user)
WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')
"""
"""What would let this role load the table ($1): a statement in each row."""


def table_of(dataset: Dataset) -> str:
    return f"public.{quote(dataset.table)}"


def keep_columns(dataset: Dataset) -> str:
    """Until the transaction ends no column of the table can change."""
    return f"LOCK TABLE {table_of(dataset)} IN ACCESS SHARE MODE"


def straight_limits(version: int) -> str:
    """For a server of that major version. An older one bounds each statement instead of the whole transaction.

    A loader that meets such rows waits 5 s at most, then goes through the temporary table.
    """
    limit = f"SET LOCAL transaction_timeout = {STRAIGHT_MS}"
    if version < LIMITS_TRANSACTIONS:
        limit = (
            f"SELECT set_config('statement_timeout', '{STRAIGHT_MS}', true) FROM pg_settings "  # noqa: S608 - a constant of this file
            f"WHERE name = 'statement_timeout' AND setting::bigint NOT BETWEEN 1 AND {STRAIGHT_MS}"
        )
    return f"{IMMEDIATELY}; {limit}; SET LOCAL lock_timeout = '5s'"


def is_new(dataset: Dataset) -> str:
    """Whether the table has no key from $1 to $2. One probe of its index."""
    return HAS_NOTHING_BETWEEN.format(table=quote(dataset.table), key=quote(dataset.key[0]))


def create_incoming(dataset: Dataset) -> str:
    """Several statements for one round trip. A session keeps the first `temp_buffers` it used: never vary it.

    Nothing is compiled in the transaction: without statistics of the incoming rows the server takes the work for a
    million times as much.
    """
    own = [f"{quote(column.name)} {column.value_type.postgres}" for column in dataset.columns]
    columns = ", ".join(own + [f"{column.name} {column.sql_type}" for column in LINEAGE])
    return (
        f"{IMMEDIATELY}; SET LOCAL temp_buffers = '{INCOMING_MEMORY}'; SET LOCAL work_mem = '{INCOMING_MEMORY}'; "
        f"SET LOCAL jit = off; CREATE TEMP TABLE {INCOMING} ({columns}) ON COMMIT DROP"
    )


def merge(dataset: Dataset) -> str:
    """Moves the incoming rows into the dataset's table; `$1` is `etl_processed_at`.

    Of two rows with one key the larger `(_requested_at, _run_id, _source_position)` stays, whatever the order of
    loading; `_run_id` compares by its bytes, so that no server's collation decides. Rows are taken in the order
    of their key: two loads at once wait for each other instead of deadlocking.
    """
    same = _same_content(dataset, "old", "new")
    return f"""
WITH merged AS (
    {_insert(dataset)}
    RETURNING old._run_id IS NOT DISTINCT FROM new._run_id AS same_run,
        CASE WHEN old._run_id = new._run_id THEN {same} END AS same_content
)
SELECT count(*) AS written, count(*) FILTER (WHERE same_run) AS same_run,
    count(*) FILTER (WHERE same_content) AS repeated
FROM merged
"""  # noqa: S608 - every name goes through quote()


def lock_stored(dataset: Dataset) -> str:
    """Locks the rows that the incoming ones will meet, in the order of their key, as `merge_locked` needs them; how many.

    One probe of the key's index for each row, however large the table is.
    """
    key = quote_all(dataset.key)
    return f"""
SELECT count(*)
FROM (SELECT {key} FROM {INCOMING} ORDER BY {key} OFFSET 0) AS came
CROSS JOIN LATERAL (
    SELECT FROM public.{quote(dataset.table)} AS stored WHERE {_same_key(dataset, "stored", "came")} FOR NO KEY UPDATE
) AS locked_rows
"""  # noqa: S608 - every name goes through quote()


def merge_locked(dataset: Dataset) -> str:
    """As `merge`, for servers whose RETURNING cannot name the row that was replaced.

    The rows as they were come from the statement's snapshot: they are locked, so they are what is replaced. Rows that
    another transaction wrote after `lock_stored` are not locked: what they were when they were replaced is unknown, and
    the merge must be done again. `seen` counts the incoming rows whose key is in the snapshot, and is more than were
    locked where one came before it. `unseen` counts those that came after it. `OFFSET 0` keeps a probe of the key's
    index for each row.
    """
    return f"""
WITH merged AS (
    {_insert(dataset)}
    RETURNING {_key_of(dataset, "stored")}, stored._run_id, stored.xmax::text <> '0' AS replaced
)
SELECT count(merged._run_id) AS written,
    count(*) FILTER (WHERE before._run_id = merged._run_id) AS same_run,
    count(*) FILTER (WHERE before._run_id = merged._run_id AND {_same_content(dataset, "before", "came")}) AS repeated,
    count(before._run_id) AS seen,
    count(*) FILTER (WHERE merged.replaced AND before._run_id IS NULL) AS unseen
FROM {INCOMING} AS came
LEFT JOIN merged ON {_same_key(dataset, "came", "merged")}
LEFT JOIN LATERAL (
    SELECT * FROM public.{quote(dataset.table)} AS as_it_was WHERE {_same_key(dataset, "as_it_was", "came")} OFFSET 0
) AS before ON true
"""  # noqa: S608 - every name goes through quote()


def count_of_run(dataset: Dataset) -> str:
    """After a merge: how many of the incoming rows are in the table as they came, by this run.

    Those that were written, and those that lost against one of the same content: the merge has locked it. `OFFSET 0`
    keeps a probe of the key's index for each: without statistics the server reads the whole table instead.
    """
    return f"""
SELECT count(*)
FROM {INCOMING} AS came
CROSS JOIN LATERAL (
    SELECT * FROM public.{quote(dataset.table)} AS same WHERE {_same_key(dataset, "same", "came")} OFFSET 0
) AS stored
WHERE stored._run_id = came._run_id AND {_same_content(dataset, "stored", "came")}
"""  # noqa: S608 - every name goes through quote()


def _insert(dataset: Dataset) -> str:
    """The table's row is `stored` in what may follow."""
    columns = [*(column.name for column in dataset.columns), *LINEAGE_NAMES]
    written = quote_all([*columns, "etl_processed_at"])
    changes = ", ".join(
        f"{quote(name)} = excluded.{quote(name)}"
        for name in (*columns, "etl_processed_at")
        if name not in dataset.key
    )
    key = quote_all(dataset.key)
    return f"""INSERT INTO public.{quote(dataset.table)} AS stored ({written})
    SELECT {quote_all(columns)}, $1::timestamptz FROM {INCOMING} ORDER BY {key}
    ON CONFLICT ({key}) DO UPDATE SET {changes}
    WHERE (stored._requested_at, stored._run_id COLLATE "C", stored._source_position)
        < (excluded._requested_at, excluded._run_id COLLATE "C", excluded._source_position)"""  # noqa: S608 - quoted


def _key_of(dataset: Dataset, row: str) -> str:
    return ", ".join(f"{row}.{quote(name)}" for name in dataset.key)


def _same_key(dataset: Dataset, one: str, other: str) -> str:
    return " AND ".join(f"{one}.{quote(name)} = {other}.{quote(name)}" for name in dataset.key)


def _same_content(dataset: Dataset, one: str, other: str) -> str:
    """Whether two rows of one key are alike in the dataset's other columns."""
    names = [quote(column.name) for column in dataset.columns if column.name not in dataset.key]
    rows = [", ".join(f"{row}.{name}" for name in names) for row in (one, other)]
    return f"ROW({rows[0]}) IS NOT DISTINCT FROM ROW({rows[1]})" if names else "true"
