"""The tables and views that other programs read are the agreed ones (`tests/support/golden.py`)."""

import asyncpg
import pytest

from console.cli.admin import migrations
from tests.support import golden

COLUMNS = """
SELECT n.nspname || '.' || c.relname AS relation, a.attname || ' ' || format_type(a.atttypid, a.atttypmod) AS described
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind = ANY ($1::"char"[]) AND (n.nspname LIKE 'onpoint\\_%' OR n.nspname = 'public')
ORDER BY relation, a.attnum
"""
VIEWS, TABLES = ["v", "m"], ["r", "p"]


async def columns(dsn: str, kinds: list[str]) -> dict[str, list[str]]:
    """Each relation's columns as name and type, in their order."""
    connection = await asyncpg.connect(dsn)
    try:
        found: dict[str, list[str]] = {}
        for relation, described in await connection.fetch(COLUMNS, [kind.encode() for kind in kinds]):
            found.setdefault(relation, []).append(described)
        return found
    finally:
        await connection.close()


@pytest.mark.integration
async def test_every_view_has_the_agreed_columns_in_their_order(postgres_dsn: str) -> None:
    golden.compare("views", await columns(postgres_dsn, VIEWS))


@pytest.mark.integration
async def test_every_table_has_the_agreed_columns(postgres_dsn: str) -> None:
    """The services' own, the command line's own, and one for each dataset that comes with OnPoint."""
    golden.compare("tables", await columns(postgres_dsn, TABLES))


def test_a_migration_keeps_its_place_in_the_journal() -> None:
    """A database refuses an applied migration with another text, and applies it anew under another name."""
    golden.compare("migrations", {f"{each.service} {each.name}": each.sha256 for each in migrations()})
