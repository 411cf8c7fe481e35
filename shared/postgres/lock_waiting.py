"""Locks that a migration needs: requested repeatedly with a short timeout; the sessions that hold them are reported.

A statement that waits for a table's lock blocks every later statement on that table. A short timeout lets them go on.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeVar

import asyncpg

from shared.errors import OnPointError

LOOK_INTERVAL_S = 0.5

_PAUSES_S = (1.0, 2.0, 4.0)
"""Between the tries: the statements that queued behind the last one run meanwhile."""

_HOLDERS = """
SELECT holder.pid, a.application_name, left(a.query, 200) AS query,
    extract(epoch FROM clock_timestamp() - a.xact_start)::int AS open_s
FROM (SELECT DISTINCT unnest(pg_blocking_pids($1)) AS pid) AS holder
LEFT JOIN pg_stat_activity a ON a.pid = holder.pid
ORDER BY holder.pid
"""

_UNSEEN = -1
"""Stands for a holder that could not be queried."""

_NOT_TO_BE_HAD = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)

Report = Callable[[str], None]

_Result = TypeVar("_Result")


def report_nothing(_: str) -> None:
    """For callers that show no progress."""


class LockWaitError(OnPointError):
    """A lock was not obtained within the time limit."""


@dataclass(frozen=True, slots=True)
class LockLimits:
    once_s: float = 2.0
    """Of one try. Other statements on the same table wait that long as well."""
    in_all_s: float = 600.0
    """Of all tries of a migration. A load has 300 s by default."""


@dataclass
class LockWait:
    """Runs a migration's steps, each again until its locks are there; a context manager.

    It looks for the holders of a lock on a connection of its own, which it opens only when a step takes long.
    """

    dsn: str
    connection: asyncpg.Connection
    report: Report
    limits: LockLimits
    _deadline_s: float = 0.0
    _reported: frozenset[int] = frozenset()
    """The processes that were reported last."""
    _holders: Sequence[asyncpg.Record] = ()
    _watching: asyncpg.Connection | None = field(default=None, repr=False)

    async def __aenter__(self) -> Self:
        await self.connection.execute(f"SET lock_timeout = {int(self.limits.once_s * 1000)}")
        self._deadline_s = asyncio.get_running_loop().time() + self.limits.in_all_s
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watching is not None:
            self._watching.terminate()

    async def run(self, step: Callable[[], Awaitable[_Result]]) -> _Result:
        """Tries the step at least once. Raises `LockWaitError` when the time of all steps is over."""
        tries = 0
        while True:
            try:
                async with self._watched():
                    return await step()
            except _NOT_TO_BE_HAD as error:
                if asyncio.get_running_loop().time() >= self._deadline_s:
                    raise LockWaitError(self._refusal()) from error
                self._report_holders()
            await asyncio.sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
            tries += 1

    async def run_transaction(self, step: Callable[[], Awaitable[_Result]]) -> _Result:
        """As `run`, with the step as a transaction."""

        async def transaction() -> _Result:
            async with self.connection.transaction():
                return await step()

        return await self.run(transaction)

    @contextlib.asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        self._holders = ()
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self) -> None:
        """Records the sessions that hold the lock which the step waits for. Sessions hidden from this user are left out."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                if self._watching is None:
                    self._watching = await asyncpg.connect(self.dsn)
                rows = await self._watching.fetch(_HOLDERS, self.connection.get_server_pid())
                self._holders = rows or self._holders

    def _report_holders(self) -> None:
        """Reports each holder of the lock once."""
        processes = frozenset(row["pid"] for row in self._holders)
        if not self._reported or processes - self._reported:
            self.report(f"waiting for a lock{self._holders_text()}")
            self._reported = processes or frozenset({_UNSEEN})

    def _holders_text(self) -> str:
        return f", held by {'; '.join(map(_holder, self._holders))}" if self._holders else ""

    def _refusal(self) -> str:
        return (
            f"a lock was not obtained within {self.limits.in_all_s:.0f} s{self._holders_text()}: "
            "run `onpoint migrate` again when that is over; nothing of this step was changed"
        )


def _holder(row: asyncpg.Record) -> str:
    """Another user's query and times are hidden from one without the right to see them."""
    if row["application_name"] is None:
        return f"process {row['pid']}" if row["pid"] else "a prepared transaction"
    name = f" ({row['application_name']})" if row["application_name"] else ""
    since = "" if row["open_s"] is None else f" for {row['open_s']} s"
    query = " ".join((row["query"] or "").split())
    return f"process {row['pid']}{name}{since}{f': {query}' if query else ''}"
