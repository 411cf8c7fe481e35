"""50,000 changes while everything on their way is killed in turn: the lake is the table, and its names are whole."""

import asyncio
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from deploy.local.stack import LocalStack
from tests.support.cdc import Capture, has_no_gap
from tests.support.service_processes import ServiceProcesses

pytestmark = [pytest.mark.cdc, pytest.mark.timeout(560)]

ROWS = 100_000
CHANGES = 50_000
A_TRANSACTION = 50
VICTIMS = ("s3sink-cdc", "kafka-connect", "kafka", "postgres", "seaweedfs")
SEED = 7


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Capture]:
    extra = {"ONPOINT_CDC_MAX_AGE_S": "3"}
    with LocalStack(tmp_path_factory.mktemp("kills"), services=(), extra_env=extra, cdc=True) as stack:
        yield Capture(stack)
        stack.down(wipe=True)


class Writer:
    """Changes rows without an end in sight, also while its server is away: a transaction that was cut off counts as not
    done, whatever became of it.
    """

    def __init__(self, capture: Capture, changes: int) -> None:
        self._capture = capture
        self._changes = changes
        self._random = random.Random(SEED)  # noqa: S311 - not a secret
        self.done = 0

    async def run(self) -> None:
        connection: asyncpg.Connection | None = None
        while self.done < self._changes:
            try:
                if connection is None:
                    connection = await self._capture.connect()
                await self._transaction(connection)
                self.done += A_TRANSACTION
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                connection = None
                await asyncio.sleep(0.2)
        if connection is not None:
            await connection.close()

    async def _transaction(self, connection: asyncpg.Connection) -> None:
        async with connection.transaction():
            for _ in range(A_TRANSACTION // 10):
                kind, at = self._random.random(), self._random.randrange(ROWS)
                if kind < 0.3:
                    await self._insert(connection, at)
                elif kind < 0.8:
                    await connection.execute(
                        "UPDATE onpoint_posts SET title = title || 'x' WHERE id BETWEEN $1 AND $1 + 9", at
                    )
                elif kind < 0.9:
                    await connection.execute("DELETE FROM onpoint_posts WHERE id BETWEEN $1 AND $1 + 9", at)
                else:
                    await connection.execute(
                        "UPDATE onpoint_posts SET id = id + 1000000 WHERE id BETWEEN $1 AND $1 + 9 "
                        "AND NOT EXISTS (SELECT FROM onpoint_posts p WHERE p.id BETWEEN $1 + 1000000 AND $1 + 1000009)",
                        at,
                    )

    async def _insert(self, connection: asyncpg.Connection, at: int) -> None:
        await connection.execute(
            "INSERT INTO onpoint_posts SELECT g, 1, 'again', 'body', 'run-2', 'b', now(), g, now() "
            "FROM generate_series($1::int, $1 + 9) g ON CONFLICT DO NOTHING",
            at,
        )


async def test_nothing_is_lost_or_doubled_by_kills(capture: Capture) -> None:
    await capture.posts(ROWS, "run-1")
    writer = Writer(capture, CHANGES)
    writing = asyncio.create_task(writer.run())
    for victim in VICTIMS:
        await asyncio.sleep(6)
        await asyncio.to_thread(capture.stack.kill, victim, signal.SIGKILL)
    await writing
    await asyncio.to_thread(capture.stack.wait_ready, timeout_s=120)
    proof = await capture.verify("onpoint_posts", timeout_s=240)
    assert proof["equal"], proof
    assert has_no_gap(await capture.names("onpoint_posts"))
    found = await capture.changes("onpoint_posts")
    offsets = found["_offset"].to_pylist()
    assert len(offsets) == len(set(offsets))


@pytest.mark.parametrize("point", ["claimed", "put", "written"])
async def test_a_sink_that_ends_between_two_effects_goes_on(
    capture: Capture, point: str, tmp_path: Path
) -> None:
    """The stack's own sink is stopped; one that ends at the point comes first, then it starts again."""
    await asyncio.to_thread(capture.stack.stop, "s3sink-cdc")
    await capture.posts(1_000, f"run-{point}")
    await capture.execute(f"UPDATE onpoint_posts SET title = '{point}' WHERE id <= 500")
    with ServiceProcesses(capture.stack, tmp_path) as sinks:
        assert await sinks.start("s3sink-cdc", CRASH_AT=f"cdc.{point}:1").exited(60) == 137
    await asyncio.to_thread(capture.stack.start, "s3sink-cdc")
    proof = await capture.verify("onpoint_posts")
    assert proof["equal"], proof
    assert has_no_gap(await capture.names("onpoint_posts"))
