"""How change capture stands, by the sink's tables in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from console.client.cdc.names import SLOT, topic_of
from console.client.cdc.source import Table

_TABLES = """
SELECT t.topic, t.next_offset, t.read_offset, t.stopped, t.loaded_rows, t.expected_rows, t.changed_at,
    count(o.first_offset) AS objects,
    coalesce(sum(o.rows), 0)::bigint AS rows, coalesce(sum(o.bytes), 0)::bigint AS bytes, max(o.last_lsn) AS last_lsn,
    max(o.written_at) AS written_at
FROM onpoint_lake.cdc_tables t LEFT JOIN onpoint_lake.cdc_objects o USING (topic) GROUP BY t.topic ORDER BY t.topic
"""
_OBJECTS = """
SELECT first_offset, last_offset, key, rows, bytes, sha256 FROM onpoint_lake.cdc_objects
WHERE topic = $1 ORDER BY first_offset
"""
_SLOT = """
SELECT active, wal_status, coalesce(confirmed_flush_lsn, '0/0') - '0/0'::pg_lsn AS confirmed,
    pg_current_wal_lsn() - coalesce(confirmed_flush_lsn, '0/0') AS lag_bytes,
    pg_current_wal_lsn() - coalesce(restart_lsn, '0/0') AS kept_bytes, safe_wal_size,
    (SELECT extract(epoch FROM r.flush_lag)::float8 FROM pg_stat_replication r WHERE r.pid = active_pid) AS lag_s
FROM pg_replication_slots WHERE slot_name = $1
"""


@dataclass(frozen=True, slots=True)
class TableState:
    """How much of a table's topic is in the lake."""

    topic: str
    next_offset: int
    read_offset: int
    stopped: str | None
    objects: int
    rows: int
    bytes: int
    loaded_rows: int
    """Of the latest full load."""
    expected_rows: int | None
    """As PostgreSQL estimated when it began; None: it did not know, or no load has come."""

    @property
    def table(self) -> str:
        return self.topic.split(".", 1)[1]


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of changes in the lake."""

    first_offset: int
    last_offset: int
    key: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class SlotState:
    """The replication slot, as PostgreSQL has it."""

    active: bool
    wal_status: str
    """reserved, extended, unreserved, or lost: what it kept is gone."""
    confirmed: int
    """The LSN up to which every change is in Kafka."""
    lag_bytes: int
    """WAL behind it."""
    kept_bytes: int
    """WAL that PostgreSQL keeps for it."""
    safe_bytes: int | None
    """WAL that may be written before the slot is lost; None: without a limit."""
    lag_s: float | None
    """Seconds from PostgreSQL to Kafka; None: nothing was on its way, or you may not see it."""


async def tables(connection: asyncpg.Connection) -> list[TableState]:
    """Of every topic that the sink has seen, by name."""
    return [
        TableState(
            row["topic"],
            row["next_offset"],
            row["read_offset"],
            row["stopped"],
            row["objects"],
            row["rows"],
            row["bytes"],
            row["loaded_rows"],
            row["expected_rows"],
        )
        for row in await connection.fetch(_TABLES)
    ]


async def objects(connection: asyncpg.Connection, topic: str) -> list[StoredObject]:
    """In the order of their offsets."""
    return [StoredObject(**dict(row)) for row in await connection.fetch(_OBJECTS, topic)]


async def slot(connection: asyncpg.Connection) -> SlotState | None:
    """None: there is none."""
    row = await connection.fetchrow(_SLOT, SLOT)
    if row is None:
        return None
    return SlotState(
        row["active"],
        row["wal_status"] or "lost",
        int(row["confirmed"]),
        int(row["lag_bytes"]),
        int(row["kept_bytes"]),
        row["safe_wal_size"],
        row["lag_s"],
    )


async def go_on(connection: asyncpg.Connection, tables: Sequence[Table]) -> None:
    """Tables that stopped at a gap are loaded anew: nothing is missing behind the mark."""
    topics = [topic_of(table.schema, table.name) for table in tables]
    await connection.execute(
        "UPDATE onpoint_lake.cdc_tables SET anew = true, stopped = NULL WHERE topic = ANY ($1) AND stopped IS NOT NULL",
        topics,
    )
