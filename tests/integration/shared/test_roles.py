"""A role of its own for each process: what it may do with each table and function, and nothing else."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest

from console.cli.admin import migrations
from shared.datasets.catalog import load_catalog
from shared.postgres.access import ROLE_RIGHTS
from shared.postgres.migrations import migrate
from tests.support.operator import Operator
from tests.support.postgres_server import PostgresServer

pytestmark = pytest.mark.integration

VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
TABLES = """
SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v') AND (n.nspname LIKE 'onpoint\\_%' OR n.nspname = 'public')
"""
MAY = "SELECT has_table_privilege($1, format('%I.%I', $2::text, $3::text), $4)"
FUNCTIONS = """
SELECT p.oid::regprocedure::text AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.prosecdef AND n.nspname LIKE 'onpoint\\_%'
"""


@dataclass
class Database:
    owner: asyncpg.Connection
    dsn: str
    prefix: str

    def role(self, user: str) -> str:
        return f"{self.prefix}_{user}"

    async def connect(self, user: str) -> asyncpg.Connection:
        return await asyncpg.connect(self.dsn, user=self.role(user))


@pytest.fixture(scope="module")
async def database(postgres: PostgresServer) -> AsyncIterator[Database]:
    dsn = await postgres.new_database()
    name = dsn.rsplit("/", 1)[1]
    await migrate(dsn, migrations(), list(load_catalog(environment={}).values()))
    owner = await asyncpg.connect(dsn)
    found = Database(owner, dsn, name)
    for user in ROLE_RIGHTS:
        await owner.execute(f"CREATE ROLE {found.role(user)} LOGIN")
    printed = await Operator({}).run("access", "grants", "--role", f"{name}_{{user}}", "--database", name)
    assert printed.code == 0, printed.err
    await owner.execute(f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")
    await owner.execute(printed.out)
    yield found
    for user in ROLE_RIGHTS:
        await owner.execute(f"DROP OWNED BY {found.role(user)}; DROP ROLE {found.role(user)}")
    await owner.close()


@pytest.mark.parametrize("user", ROLE_RIGHTS)
async def test_a_role_has_the_verbs_of_its_tables_and_no_others(database: Database, user: str) -> None:
    tables = [(row["schema"], row["name"]) for row in await database.owner.fetch(TABLES)]
    assert len(tables) > 30
    given = {
        (schema, name, verb)
        for schema, name in tables
        for verb in VERBS
        if await database.owner.fetchval(MAY, database.role(user), schema, name, verb)
    }

    assert given == {(schema, name, verb) for schema, name in tables for verb in expected(user, schema, name)}


@pytest.mark.parametrize("user", ROLE_RIGHTS)
async def test_a_role_runs_the_functions_with_owners_rights_that_it_needs(
    database: Database, user: str
) -> None:
    may = "SELECT has_function_privilege($1, $2, 'EXECUTE')"
    functions = [row["name"] for row in await database.owner.fetch(FUNCTIONS)]
    given = {name for name in functions if await database.owner.fetchval(may, database.role(user), name)}

    wanted = {name.replace(", ", ",") for name in ROLE_RIGHTS[user].functions}
    assert given == wanted & set(functions)


@pytest.mark.parametrize("user", ROLE_RIGHTS)
async def test_a_role_makes_nothing_that_stays(database: Database, user: str) -> None:
    connection = await database.connect(user)
    try:
        for statement in (
            "CREATE TABLE public.own (id int)",
            "CREATE SCHEMA own",
            "CREATE ROLE own",
            "DROP TABLE onpoint_runs.runs",
            "ALTER TABLE public.onpoint_posts ADD COLUMN own int",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        makes = "CREATE TEMPORARY TABLE own (id int)"
        if ROLE_RIGHTS[user].makes_temporary_tables:
            await connection.execute(makes)
        else:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(makes)
    finally:
        await connection.close()


async def test_a_later_table_of_a_schema_is_its_services_too(database: Database) -> None:
    await database.owner.execute("CREATE TABLE onpoint_loader.later (id int)")
    try:
        may = [
            user
            for user in ROLE_RIGHTS
            if await database.owner.fetchval(MAY, database.role(user), "onpoint_loader", "later", "INSERT")
        ]
    finally:
        await database.owner.execute("DROP TABLE onpoint_loader.later")

    assert may == ["loader"]


def expected(user: str, schema: str, name: str) -> set[str]:
    rights = ROLE_RIGHTS[user]
    found = {"SELECT"} if (schema, name) == ("onpoint_meta", "migrations") else set()
    if schema == "public":
        return found | set(rights.datasets)
    for right in rights.schemas:
        if right.schema == schema and (right.tables is None or name in right.tables):
            found |= set(right.verbs)
    return found
