"""The slot of change capture goes with the least rights: the login of the tables' owner needs no REPLICATION."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from console.cli.cdc.reach import connected_as_role
from console.cli.errors import CommandError
from console.client.cdc import source
from console.client.cdc.names import ROLE, SLOT

pytestmark = pytest.mark.integration

OWNER = "cdc_slot_owner"


@pytest.fixture
async def owner(postgres_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A login without REPLICATION, beside a slot and the role of change capture."""
    admin = await asyncpg.connect(postgres_dsn)
    await admin.execute(f"CREATE ROLE {OWNER} LOGIN PASSWORD 'own'")
    await admin.execute(f"CREATE ROLE {ROLE} LOGIN REPLICATION PASSWORD 'capture'")
    await admin.execute("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", SLOT)
    connection = await asyncpg.connect(postgres_dsn, user=OWNER, password="own")  # noqa: S106 - of this test
    try:
        yield connection
    finally:
        await connection.close()
        await admin.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1", SLOT
        )
        await admin.execute(f"DROP ROLE {OWNER}; DROP ROLE {ROLE}")
        await admin.close()


async def test_the_role_of_change_capture_drops_it(
    owner: asyncpg.Connection, postgres_dsn: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("capture\n")
    as_role = partial(connected_as_role, postgres_dsn, tmp_path / "secret")
    assert await source.drop_slot(owner, as_role)
    assert not await source.drop_slot(owner, as_role)


async def test_without_its_password_the_command_says_what_to_do(
    owner: asyncpg.Connection, postgres_dsn: str, tmp_path: Path
) -> None:
    with pytest.raises(CommandError, match=f"pg_drop_replication_slot..{SLOT}.. run by one"):
        await source.drop_slot(owner, partial(connected_as_role, postgres_dsn, tmp_path / "missing"))
