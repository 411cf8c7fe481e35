"""A function that runs with its owner's rights may be called by those who need it, and by no one else."""

import asyncpg
import pytest

from console.cli.admin import migrations
from shared.postgres.migrations import migrate

pytestmark = pytest.mark.integration

PRIVILEGED = """
SELECT p.oid::regprocedure::text AS name, has_function_privilege('public', p.oid, 'EXECUTE') AS is_public
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.prosecdef AND (n.nspname LIKE 'onpoint\\_%' OR n.nspname = 'public') ORDER BY name
"""
RIGHTS = {"0016_execute_rights.sql", "0008_cdc_loads_and_rights.sql"}


async def test_no_function_with_its_owners_rights_may_be_called_by_everyone(postgres_dsn: str) -> None:
    connection = await asyncpg.connect(postgres_dsn)
    try:
        found = await connection.fetch(PRIVILEGED)
        assert len(found) >= 3
        assert [row["name"] for row in found if row["is_public"]] == []
    finally:
        await connection.close()


async def test_a_service_that_keeps_runs_may_call_them_after_the_update_and_others_may_not(
    empty_dsn: str,
) -> None:
    name = empty_dsn.rsplit("/", 1)[1]
    keeper, stranger = f"{name}_keeper", f"{name}_stranger"
    await migrate(empty_dsn, [each for each in migrations() if each.name not in RIGHTS], [])
    connection = await asyncpg.connect(empty_dsn)
    try:
        await connection.execute(f"CREATE ROLE {keeper}; CREATE ROLE {stranger}")
        await connection.execute(f"GRANT SELECT, UPDATE ON onpoint_runs.runs TO {keeper}")
        await migrate(empty_dsn, migrations(), [])
        for function in ("onpoint_runs.mark_listings_behind(text[])", "onpoint_lake.mark_changed(text[])"):
            may = "SELECT has_function_privilege($1, $2, 'EXECUTE')"
            assert await connection.fetchval(may, keeper, function)
            assert not await connection.fetchval(may, stranger, function)
    finally:
        await connection.execute(f"DROP OWNED BY {keeper}; DROP ROLE {keeper}; DROP ROLE {stranger}")
        await connection.close()
