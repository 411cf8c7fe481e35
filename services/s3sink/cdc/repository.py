"""How far each table is, and its objects. The rows of `cdc_tables` decide who may write which offsets."""

from dataclasses import dataclass

import asyncpg

from services.s3sink.cdc.errors import ClaimTakenError
from shared import crashpoints
from shared.postgres.errors import translated

_ADD = """
INSERT INTO onpoint_lake.cdc_tables (topic, table_name, next_offset, read_offset) VALUES ($1, $2, $3, $3)
ON CONFLICT (topic) DO NOTHING
"""
_ANEW = """
UPDATE onpoint_lake.cdc_tables SET anew = false, read_offset = $2, changed_at = now()
WHERE topic = $1 AND anew AND claimed_last IS NULL RETURNING true
"""
_FIND = (
    "SELECT next_offset, read_offset, claimed_last, claimed_key FROM onpoint_lake.cdc_tables WHERE topic = $1"
)
_CLAIM = """
UPDATE onpoint_lake.cdc_tables SET claimed_last = $3, claimed_key = $4, changed_at = now()
WHERE topic = $1 AND next_offset = $2 AND claimed_last IS NULL
"""
_WRITTEN = """
UPDATE onpoint_lake.cdc_tables
SET next_offset = $3 + 1, read_offset = $3 + 1, claimed_last = NULL, claimed_key = NULL, changed_at = now(),
    loaded_rows = CASE WHEN $4 THEN 0 ELSE loaded_rows END + $5,
    expected_rows = CASE WHEN ($4 OR loaded_rows = 0) AND $5 > 0
        THEN (SELECT nullif(reltuples, -1)::bigint FROM pg_class
            WHERE oid = to_regclass(format('%I.%I', $6::text, $7::text)))
        WHEN $4 THEN NULL ELSE expected_rows END
WHERE topic = $1 AND next_offset = $2 AND claimed_last = $3 RETURNING loaded_rows, expected_rows
"""
_ADD_OBJECT = """
INSERT INTO onpoint_lake.cdc_objects (topic, first_offset, last_offset, key, rows, bytes, sha256, first_lsn, last_lsn)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_READ = """
UPDATE onpoint_lake.cdc_tables SET read_offset = $3, changed_at = now()
WHERE topic = $1 AND next_offset = $2 AND claimed_last IS NULL AND read_offset <= $3
"""
_STOP = "UPDATE onpoint_lake.cdc_tables SET stopped = $2, changed_at = now() WHERE topic = $1"


@dataclass(frozen=True, slots=True)
class Position:
    next_offset: int
    """Where the next object begins."""
    read_offset: int
    """Every record below is in an object, or is no change."""
    claimed_last: int | None
    """The last offset of an object whose name is decided and that may not be in the lake yet."""
    claimed_key: str | None


@dataclass(frozen=True, slots=True)
class Written:
    """An object that is in the lake."""

    topic: str
    first_offset: int
    last_offset: int
    key: str
    rows: int
    bytes: int
    sha256: str
    first_lsn: int | None
    last_lsn: int | None
    loaded: int
    """Rows of a full load among them."""
    begins_load: bool
    """Whether a mark is among them that a full load follows: what was loaded before counts no more."""


@dataclass(frozen=True, slots=True)
class Load:
    """The latest full load of a table, as far as it is in the lake."""

    rows: int
    expected: int | None
    """As PostgreSQL estimated when its first rows came; None: it did not know."""


class CdcRepository:
    """Every method raises `DatabaseUnavailableError` in an outage."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def position(self, topic: str, table: str, earliest: int) -> Position:
        """A topic that was never read begins at its earliest record."""
        with translated():
            await self._pool.execute(_ADD, topic, table, earliest)
            [row] = await self._pool.fetch(_FIND, topic)
        return Position(row["next_offset"], row["read_offset"], row["claimed_last"], row["claimed_key"])

    async def begin_anew(self, topic: str, earliest: int) -> bool:
        """Goes on behind a gap where a full load was asked for. The next object has the lost offsets in its name."""
        with translated():
            return bool(await self._pool.fetchval(_ANEW, topic, earliest))

    async def claim(self, topic: str, first: int, last: int, key: str) -> None:
        """Decides the name of the next object. Raises `ClaimTakenError` where another process was faster."""
        with translated():
            done = await self._pool.execute(_CLAIM, topic, first, last, key)
        if done != "UPDATE 1":
            raise ClaimTakenError(f"{topic}: another process goes on from {first}")
        crashpoints.reach("cdc.claimed")

    async def written(self, written: Written) -> Load:
        """Commits the object and the position behind it. Nothing happens where another process has done so."""
        with translated():
            async with self._pool.acquire() as connection, connection.transaction():
                _, schema, table = written.topic.split(".", 2)
                load = await connection.fetchrow(
                    _WRITTEN,
                    written.topic,
                    written.first_offset,
                    written.last_offset,
                    written.begins_load,
                    written.loaded,
                    schema,
                    table,
                )
                if load is not None:
                    await connection.execute(
                        _ADD_OBJECT,
                        written.topic,
                        written.first_offset,
                        written.last_offset,
                        written.key,
                        written.rows,
                        written.bytes,
                        written.sha256,
                        written.first_lsn,
                        written.last_lsn,
                    )
        if load is None:
            raise ClaimTakenError(f"{written.topic}: another process wrote {written.key}")
        crashpoints.reach("cdc.written")
        return Load(load["loaded_rows"], load["expected_rows"])

    async def read(self, topic: str, first: int, offset: int) -> None:
        """The records below the offset that are in no object are no changes. Raises `ClaimTakenError`."""
        with translated():
            done = await self._pool.execute(_READ, topic, first, offset)
        if done != "UPDATE 1":
            raise ClaimTakenError(f"{topic}: another process goes on from {first}")

    async def stop(self, topic: str, why: str | None) -> None:
        """Why the table does not go on, for those who ask for its state; None: it does."""
        with translated():
            await self._pool.execute(_STOP, topic, why)
