"""Waits for the completion of a run and reads its progress meanwhile."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from console.client.ledger import Ledger, LedgerUnavailableError, RunRow, StageProgress
from console.client.pending_migrations import PendingMigrations
from console.client.phase import phase
from console.client.progress import Snapshot, by_key, estimates_of

POLL_S = 0.35
GOES_ON = frozenset({"requested", "asked", "running"})
"""States of a run that has not ended."""
MIGRATION_POLL_S = 5.0


class Completions(Protocol):
    """Where `run.completed` is read; opened before the request is published, so that it misses none."""

    async def of(self, run_id: str) -> dict[str, Any]: ...


class ProgressReader:
    """Reads a run's progress from the ledger. A database that does not answer only hides the progress."""

    def __init__(
        self,
        dsn: str | None,
        run_id: str,
        datasets: tuple[str, ...],
        migrations: PendingMigrations | None = None,
        requested_at: datetime | None = None,
    ) -> None:
        """`requested_at`: the time shown is that since then; None: since now."""
        self._dsn = dsn
        self._run_id = run_id
        self._datasets = datasets
        self._ledger: Ledger | None = None
        began_s = 0.0 if requested_at is None else (datetime.now(UTC) - requested_at).total_seconds()
        self._began_s = time.monotonic() - began_s
        self._migrations = migrations
        self._waits: list[str] = []
        self._ask_again_s = time.monotonic() + MIGRATION_POLL_S

    async def read(self) -> Snapshot:
        elapsed_s = time.monotonic() - self._began_s
        run, stages, note, phase_ = None, list[StageProgress](), None, None
        try:
            run, stages = await self._ask()
        except LedgerUnavailableError as error:
            self.close()
            note = f"the run goes on, but its progress is hidden: {error}"
        else:
            phase_ = phase(run, by_key(stages), elapsed_s)
        found = by_key(stages)
        return Snapshot(
            run_id=self._run_id,
            status=run.state if run else "requested",
            elapsed_s=elapsed_s,
            datasets=(run.datasets if run else ()) or self._datasets,
            stages=found,
            estimates=estimates_of(found),
            phase=phase_,
            note=note or "\n".join(self._waits) or None,
        )

    async def _ask(self) -> tuple[RunRow | None, list[StageProgress]]:
        if self._dsn is None:
            raise LedgerUnavailableError("ONPOINT_POSTGRES_DSN is not set")
        if self._ledger is None:
            self._ledger = await Ledger.connect(self._dsn)
        run, stages = await self._ledger.run(self._run_id), await self._ledger.progress(self._run_id)
        if self._migrations is not None and time.monotonic() >= self._ask_again_s:
            self._waits = await self._migrations.find(self._ledger, self._run_id, by_key(stages))
            self._ask_again_s = time.monotonic() + MIGRATION_POLL_S
        return run, stages

    def close(self) -> None:
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None


async def wait(
    completions: Completions,
    run_id: str,
    progress: ProgressReader,
    show: Callable[[Snapshot], None],
    timeout_s: float | None,
) -> dict[str, Any]:
    """The value of the run's `run.completed`; `show` is called with the progress until then.

    Raises `TimeoutError` after `timeout_s`; the run goes on. An error that `show` raises ends the wait.
    """
    showing = asyncio.create_task(_show(progress, show))
    ending = asyncio.create_task(completions.of(run_id))
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.wait({showing, ending}, return_when=asyncio.FIRST_COMPLETED)
        return ending.result() if ending.done() else showing.result()
    finally:
        for task in (showing, ending):
            task.cancel()
        await asyncio.gather(showing, ending, return_exceptions=True)
        progress.close()


async def _show(progress: ProgressReader, show: Callable[[Snapshot], None]) -> Any:
    """Ends by an error alone."""
    while True:
        began_s = time.monotonic()
        show(await progress.read())
        await asyncio.sleep(pause_s(time.monotonic() - began_s))


async def watch(progress: ProgressReader, show: Callable[[Snapshot], None]) -> None:
    """Calls `show` with the progress until the run has ended, also across outages of the database.

    An error that `show` raises ends the watch.
    """
    try:
        while True:
            began_s = time.monotonic()
            snapshot = await progress.read()
            show(snapshot)
            if snapshot.status not in GOES_ON:
                return
            await asyncio.sleep(pause_s(time.monotonic() - began_s))
    finally:
        progress.close()


def pause_s(asked_s: float) -> float:
    """Before the next look: asking takes a tenth of the time at most, however large the run."""
    return max(POLL_S, 9 * asked_s)
