"""Waits for a run's end and shows its progress meanwhile."""

import asyncio
import time
from typing import Any, Protocol

from console.display import Display
from console.ledger import Ledger, LedgerUnavailableError, RunRow, StageProgress
from console.progress import Pace, Snapshot, by_key

POLL_S = 0.35
UNNOTICED_S = 10.0
"""A crawler that is up takes a request within a second."""

UNNOTICED = "no service has taken the run up yet: are they running? see `onpoint ps`"


class Ends(Protocol):
    async def of(self, run_id: str) -> dict[str, Any]: ...


class Watch:
    """What the ledger says of a run, asked again and again; a database that is away only hides the progress."""

    def __init__(self, dsn: str | None, run_id: str, datasets: tuple[str, ...]) -> None:
        self._dsn = dsn
        self._run_id = run_id
        self._datasets = datasets
        self._ledger: Ledger | None = None
        self._pace = Pace()
        self._began_s = time.monotonic()

    async def look(self) -> Snapshot:
        elapsed_s = time.monotonic() - self._began_s
        run, stages, note = None, list[StageProgress](), None
        try:
            run, stages = await self._ask()
        except LedgerUnavailableError as error:
            self.close()
            note = f"the run goes on, but its progress is hidden: {error}"
        else:
            if run is None and self._dsn is not None and elapsed_s > UNNOTICED_S:
                note = UNNOTICED
        found = by_key(stages)
        return Snapshot(
            run_id=self._run_id,
            status=run.status if run else "requested",
            elapsed_s=elapsed_s,
            datasets=(run.datasets if run else ()) or self._datasets,
            stages=found,
            rows_per_s=self._pace.observe(time.monotonic(), found),
            note=note,
        )

    async def _ask(self) -> tuple[RunRow | None, list[StageProgress]]:
        if self._dsn is None:
            raise LedgerUnavailableError("ONPOINT_POSTGRES_DSN is not set")
        if self._ledger is None:
            self._ledger = await Ledger.connect(self._dsn)
        return await self._ledger.run(self._run_id), await self._ledger.progress(self._run_id)

    def close(self) -> None:
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None


async def follow(
    ends: Ends, run_id: str, watch: Watch, display: Display, timeout_s: float | None
) -> dict[str, Any]:
    """The value of the run's `run.completed`. Raises `TimeoutError` when the time is over; the run goes on."""
    showing = asyncio.create_task(_show(watch, display))
    ending = asyncio.create_task(ends.of(run_id))
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.wait({showing, ending}, return_when=asyncio.FIRST_COMPLETED)
        return ending.result() if ending.done() else showing.result()
    finally:
        for task in (showing, ending):
            task.cancel()
        await asyncio.gather(showing, ending, return_exceptions=True)
        watch.close()


async def _show(watch: Watch, display: Display) -> Any:
    """Ends only by an error of ours, which must not be hidden."""
    while True:
        display.show(await watch.look())
        await asyncio.sleep(POLL_S)
