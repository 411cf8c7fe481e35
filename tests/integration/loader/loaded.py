"""Rows to load, and what of them is in PostgreSQL."""

from typing import Any

import asyncpg

ENCODER = "services.loader.service.encode_copy"
"""A test takes its place to watch, to slow or to break a copy."""


def pair(value: str, group: str = "a", user: int = 1, **more: Any) -> dict[str, Any]:
    return {"group": group, "user": user, "value": value, **more}


def thing(number: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "order": "x", "time": None, "type": None, "select": None, "by": None, **more}


async def rows_of(pool: asyncpg.Pool, table: str, order: str = "id") -> list[dict[str, Any]]:
    found = await pool.fetch(f'SELECT * FROM public."{table}" ORDER BY "{order}"')
    return [dict(row) for row in found]


async def ledger_of(pool: asyncpg.Pool) -> list[tuple[str, str, int, int]]:
    found = await pool.fetch(
        "SELECT batch_id, status, rows_loaded, rows_superseded FROM onpoint_loader.loaded_batches ORDER BY loaded_at"
    )
    return [tuple(row) for row in found]
