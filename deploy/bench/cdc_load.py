"""A full load from its registration to its last object, then one change at rest, on the settings that are shipped."""

import asyncio
import logging
import shutil
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import structlog

from deploy.local.errors import StackError
from deploy.local.stack import LocalStack

TABLE = "onpoint_bench"
COLUMNS = "id bigint PRIMARY KEY, user_id bigint, title text, body text, _run_id text, changed timestamptz"
FILL = f"""
INSERT INTO {TABLE} SELECT g, g % 100, 'title ' || g, repeat('est rerum tempore vitae ', 4), 'run-1', now()
FROM generate_series(1, $1::bigint) g
"""  # noqa: S608 - ours
STORED = f"""
SELECT coalesce(sum(rows), 0)::bigint FROM onpoint_lake.cdc_objects WHERE topic = 'cdc.public.{TABLE}'
"""  # noqa: S608 - ours
LIMIT_S = 1800.0
POLL_S = 0.25


async def _onpoint(environment: dict[str, str], *words: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "console", *words, env=environment, stdout=DEVNULL, stderr=PIPE
    )
    _, errors = await process.communicate()
    if process.returncode:
        raise StackError(f"onpoint {' '.join(words)}: {errors.decode(errors='replace')[-1000:]}")


async def _until(connection: asyncpg.Connection, rows: int, report: Callable[[str], None]) -> float:
    """Seconds until that number of rows is in objects."""
    began, told_s = time.monotonic(), 0.0
    async with asyncio.timeout(LIMIT_S):
        while (stored := await connection.fetchval(STORED)) < rows:
            if time.monotonic() - told_s > 10:  # noqa: PLR2004 - a line now and then
                told_s = time.monotonic()
                report(f"{stored:,} of {rows:,} rows are in the lake")
            await asyncio.sleep(POLL_S)
    return time.monotonic() - began


async def _measure(environment: dict[str, str], rows: int, report: Callable[[str], None]) -> dict[str, Any]:
    connection = await asyncpg.connect(environment["ONPOINT_POSTGRES_DSN"])
    try:
        await _onpoint(environment, "cdc", "remove")
        await connection.execute(f"CREATE TABLE {TABLE} ({COLUMNS})")
        await connection.execute(FILL, rows)
        began = time.monotonic()
        await _onpoint(environment, "cdc", "register", TABLE)
        await _until(connection, rows, report)
        load_s = time.monotonic() - began
        await connection.execute(f"UPDATE {TABLE} SET title = 'at rest' WHERE id = 1")  # noqa: S608 - ours
        lag_s = await _until(connection, rows + 1, report)
    finally:
        await connection.close()
    return {"rows": rows, "load_s": load_s, "rows_per_s": rows / load_s, "lag_at_rest_s": lag_s}


def measure(rows: int, report: Callable[[str], None]) -> dict[str, Any]:
    """On a stack of its own, which is removed again. Raises `StackError`, and `TimeoutError` after half an hour."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    folder = Path(tempfile.mkdtemp(prefix="onpoint-bench-cdc-load-"))
    try:
        with LocalStack(folder / "home", services=(), cdc=True) as stack:
            found = asyncio.run(_measure(stack.environment(), rows, report))
            stack.down(wipe=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return found
