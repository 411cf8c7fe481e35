"""What change capture needs of PostgreSQL: a role of its own, a table list, and old values of changed rows."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal

import asyncpg

from console.client.cdc.names import PUBLICATION, ROLE, SLOT
from shared.errors import ConfigurationError
from shared.postgres.identifiers import quote

Identity = Literal["full", "key"]
"""What PostgreSQL writes of a changed row's old values: all, or its key."""

TABLES = """
SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""


AsRole = Callable[[], AbstractAsyncContextManager[asyncpg.Connection]]
"""Connects as the role of change capture."""

_DROP_SLOT = "SELECT pg_drop_replication_slot($1)"


@dataclass(frozen=True, slots=True, order=True)
class Table:
    schema: str
    name: str

    @property
    def quoted(self) -> str:
        return f"{quote(self.schema)}.{quote(self.name)}"

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


async def find_tables(connection: asyncpg.Connection, names: Sequence[str]) -> list[Table]:
    """The tables of these names, those in `public` whose name begins with `onpoint_` where there are none, and what is
    captured already.

    Raises `ConfigurationError` for one that is not there.
    """
    there = {(row["schema"], row["name"]) for row in await connection.fetch(TABLES)}
    already = [table for table in await published(connection) if (table.schema, table.name) in there]
    if not names:
        ours = [Table(*each) for each in there if each[0] == "public" and each[1].startswith("onpoint_")]
        return sorted({*ours, *already})
    asked = named(names)
    if missing := [table for table in sorted(asked) if (table.schema, table.name) not in there]:
        raise ConfigurationError(f"there is no table {missing[0]}: `onpoint migrate` makes those of datasets")
    return sorted({*asked, *already})


def named(names: Sequence[str]) -> set[Table]:
    """The tables of names with or without a schema, which is `public` then."""
    return {Table(*name.split(".", 1)) if "." in name else Table("public", name) for name in names}


async def published(connection: asyncpg.Connection) -> list[Table]:
    """The captured tables, by name."""
    rows = await connection.fetch(
        "SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = $1", PUBLICATION
    )
    return sorted(Table(row["schemaname"], row["tablename"]) for row in rows)


async def prepare(
    connection: asyncpg.Connection,
    tables: Sequence[Table],
    identities: Mapping[Table, Identity],
    password: str | None,
) -> list[str]:
    """Makes role, grants and publication as they should be, in one transaction; what was done. Idempotent.

    `password` is for a role that is not there yet. Raises `ConfigurationError` with what to do.
    """
    if (level := await connection.fetchval("SHOW wal_level")) != "logical":
        raise ConfigurationError(
            f"wal_level is {level}: change capture needs ALTER SYSTEM SET wal_level = logical, and a restart of PostgreSQL"
        )
    async with connection.transaction():
        return [
            *await _make_role(connection, password),
            *await _grant(connection, tables, identities),
            *await _publish(connection, tables),
            *await _estimate(connection, tables),
        ]


async def _make_role(connection: asyncpg.Connection, password: str | None) -> list[str]:
    """It may log in and read the log of changes; which tables it may read, the grants say. It may write nothing."""
    if await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", ROLE):
        return []
    if password is None:
        raise ConfigurationError(
            f"there is no role {ROLE}: make it as a superuser (CREATE ROLE {ROLE} LOGIN REPLICATION PASSWORD '…'), and put "
            "the password into the file postgres_cdc of ONPOINT_CDC_SECRETS_DIR"
        )
    literal = await connection.fetchval("SELECT quote_literal($1)", password)
    try:
        await connection.execute(f"CREATE ROLE {quote(ROLE)} LOGIN REPLICATION PASSWORD {literal}")
    except asyncpg.InsufficientPrivilegeError as error:
        raise ConfigurationError(
            f"the role {ROLE} is missing and you may not make it: have it made by a superuser"
        ) from error
    return [f"role {ROLE}"]


async def _grant(
    connection: asyncpg.Connection, tables: Sequence[Table], identities: Mapping[Table, Identity]
) -> list[str]:
    done = []
    for table in tables:
        await connection.execute(f"GRANT USAGE ON SCHEMA {quote(table.schema)} TO {quote(ROLE)}")
        await connection.execute(f"GRANT SELECT ON {table.quoted} TO {quote(ROLE)}")
        identity = identities.get(table)
        if identity is None:
            continue
        wanted = "f" if identity == "full" else "d"
        if wanted != await connection.fetchval(
            "SELECT relreplident::text FROM pg_class WHERE oid = to_regclass($1)", table.quoted
        ):
            kind = "FULL" if identity == "full" else "DEFAULT"
            await connection.execute(f"ALTER TABLE {table.quoted} REPLICA IDENTITY {kind}")
            done.append(f"{table}: replica identity {kind.lower()}")
    return done


async def _publish(connection: asyncpg.Connection, tables: Sequence[Table]) -> list[str]:
    names = ", ".join(table.quoted for table in tables)
    exists = await connection.fetchval("SELECT true FROM pg_publication WHERE pubname = $1", PUBLICATION)
    if not exists:
        await connection.execute(
            f"CREATE PUBLICATION {quote(PUBLICATION)} FOR TABLE {names} WITH (publish_via_partition_root = true)"
        )
    elif await published(connection) != sorted(tables):
        await connection.execute(f"ALTER PUBLICATION {quote(PUBLICATION)} SET TABLE {names}")
    else:
        return []
    return [f"publication of {', '.join(map(str, tables))}"]


async def _estimate(connection: asyncpg.Connection, tables: Sequence[Table]) -> list[str]:
    """Has PostgreSQL estimate the rows of tables of which it knows nothing: a full load tells its progress by that."""
    unknown = [
        table
        for table in tables
        if await connection.fetchval(
            "SELECT reltuples < 0 FROM pg_class WHERE oid = to_regclass($1)", table.quoted
        )
    ]
    for table in unknown:
        await connection.execute(f"ANALYZE {table.quoted}")
    return [f"{table}: estimate of its rows" for table in unknown]


async def keyless(connection: asyncpg.Connection, tables: Sequence[Table]) -> list[Table]:
    """Those without a primary key."""
    found = []
    for table in tables:
        has_key = await connection.fetchval(
            "SELECT count(*) FROM pg_index WHERE indrelid = to_regclass($1) AND indisprimary", table.quoted
        )
        if not has_key:
            found.append(table)
    return found


async def current_lsn(connection: asyncpg.Connection) -> int:
    """Where PostgreSQL writes its log next, in bytes."""
    return int(await connection.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))


async def drop_slot(connection: asyncpg.Connection, as_role: AsRole) -> bool:
    """False: there was none. PostgreSQL wants a login with REPLICATION: where this one has it not, the role of change
    capture does it. Raises as `as_role`.
    """
    found = await connection.fetchval("SELECT true FROM pg_replication_slots WHERE slot_name = $1", SLOT)
    if not found:
        return False
    try:
        await connection.execute(_DROP_SLOT, SLOT)
    except asyncpg.InsufficientPrivilegeError:
        async with as_role() as capturing:
            await capturing.execute(_DROP_SLOT, SLOT)
    return True


async def withdraw(connection: asyncpg.Connection, as_role: AsRole) -> list[str]:
    """Removes the slot, which keeps WAL, and the publication; what was done. The role stays. Idempotent. Raises as
    `drop_slot`.
    """
    done = []
    if await drop_slot(connection, as_role):
        done.append(f"slot {SLOT}")
    if await connection.fetchval("SELECT true FROM pg_publication WHERE pubname = $1", PUBLICATION):
        await connection.execute(f"DROP PUBLICATION {quote(PUBLICATION)}")
        done.append(f"publication {PUBLICATION}")
    return done
