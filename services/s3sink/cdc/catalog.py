"""The columns of a table as PostgreSQL has them now."""

import asyncpg

from services.s3sink.cdc.columns import Column
from shared.postgres.errors import translated

_COLUMNS = """
SELECT a.attname AS name,
    format_type(CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE a.atttypid END,
                CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END) AS type,
    a.attnum = ANY (coalesce(i.indkey::int2[], '{}')) AS in_key
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
WHERE a.attrelid = to_regclass(format('%I.%I', $1::text, $2::text)) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""


class Catalog:
    """Raises `DatabaseUnavailableError` in an outage."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def columns(self, schema: str, table: str) -> tuple[Column, ...]:
        """In the order of the table; none where there is no such table any more."""
        with translated():
            rows = await self._pool.fetch(_COLUMNS, schema, table)
        return tuple(Column(row["name"], row["type"], in_key=row["in_key"]) for row in rows)
