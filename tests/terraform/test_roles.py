"""deploy/terraform/roles.sql on a real PostgreSQL, by a master that is no superuser, as RDS has it."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from yarl import URL

from tests.support.postgres_server import USER, PostgresServer
from tests.support.records import ROOT

pytestmark = [pytest.mark.terraform, pytest.mark.timeout(300)]

MASTER, PASSWORD = "postgres", "of-the-master"
ACCESS = """\
host all superuser 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
"""
FIRST = {"ONPOINT_PASSWORD": "first-onpoint", "CONNECT_PASSWORD": "first-connect"}
SECOND = {
    "ONPOINT_PASSWORD": "second-onpoint",
    "CONNECT_PASSWORD": "second-connect",
    "DMS_PASSWORD": "first-dms",
}


@dataclass(frozen=True)
class Database:
    """Of RDS, as far as the script sees it."""

    address: URL

    def run(self, **passwords: str) -> None:
        done = subprocess.run(
            [
                "psql",
                str(self.of(MASTER, PASSWORD)),
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-f",
                "deploy/terraform/roles.sql",
            ],
            cwd=ROOT,
            env={**os.environ, **passwords},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert not any(password in done.stdout + done.stderr for password in passwords.values())

    def of(self, user: str, password: str) -> URL:
        return self.address.with_user(user).with_password(password)

    async def login(self, user: str, password: str) -> asyncpg.Connection:
        return await asyncpg.connect(str(self.of(user, password)))


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    """With a master that may make roles, and the role by which RDS lends the right to replicate."""
    with PostgresServer(settings={"wal_level": "logical"}) as server:
        bootstrap = await asyncpg.connect(server.dsn())
        await bootstrap.execute("CREATE ROLE superuser SUPERUSER LOGIN")
        hba = Path(await bootstrap.fetchval("SHOW hba_file"))
        await bootstrap.close()
        address = URL(server.dsn("onpoint"))
        admin = await asyncpg.connect(str(URL(server.dsn()).with_user("superuser")))
        for statement in (
            f"ALTER ROLE {USER} RENAME TO bootstrap",
            f"CREATE ROLE {MASTER} LOGIN CREATEROLE CREATEDB PASSWORD '{PASSWORD}'",
            "CREATE ROLE rds_replication NOLOGIN",
            f"GRANT rds_replication TO {MASTER} WITH ADMIN OPTION",
            f"CREATE DATABASE onpoint OWNER {MASTER}",
        ):
            await admin.execute(statement)
        await asyncio.to_thread(hba.write_text, ACCESS)
        await admin.execute("SELECT pg_reload_conf()")
        await admin.close()
        yield Database(address)


async def test_the_pipeline_owns_its_database(database: Database) -> None:
    database.run(**FIRST)

    connection = await database.login("onpoint", "first-onpoint")
    await connection.execute("CREATE SCHEMA onpoint_meta")
    await connection.execute("CREATE TABLE onpoint_posts (id int PRIMARY KEY)")
    assert not await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = 'onpoint'")
    await connection.close()


async def test_the_reader_of_changes_reads_and_does_not_write(database: Database) -> None:
    database.run(**FIRST)
    owner = await database.login("onpoint", "first-onpoint")
    await owner.execute("CREATE TABLE onpoint_posts (id int PRIMARY KEY)")
    await owner.close()

    reader = await database.login("onpoint_cdc", "first-connect")
    assert await reader.fetch("SELECT * FROM onpoint_posts") == []
    assert await reader.fetchval("SELECT pg_has_role('rds_replication', 'member')")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reader.execute("INSERT INTO onpoint_posts VALUES (1)")
    await reader.close()


async def test_run_again_it_sets_the_new_passwords(database: Database) -> None:
    database.run(**FIRST)
    database.run(**SECOND)

    for user, password in (
        ("onpoint", "second-onpoint"),
        ("onpoint_cdc", "second-connect"),
        ("onpoint_dms", "first-dms"),
    ):
        await (await database.login(user, password)).close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await database.login("onpoint", "first-onpoint")
