"""`onpoint status --watch`: a run live, for people or for programs."""

import asyncio
from datetime import datetime
from typing import Any

from rich.console import Console

from console.cli import display, environment
from console.cli.errors import InterruptedByUserError
from console.cli.result import print_json
from console.client import wait
from console.client.ledger import open_ledger
from console.client.progress import Snapshot, progress_document

LINE_EVERY_S = 1.0


def watch_run(run_id: str, *, as_json: bool) -> None:
    """Returns once the run has ended. With `as_json` one object a line on standard output, where something has changed.

    Raises `ClientError` where the ledger does not know the run, `InterruptedByUserError` after Ctrl-C.
    """
    dsn = environment.ledger_dsn()
    reader = wait.ProgressReader(
        dsn, run_id, (), environment.pending_migrations(), asyncio.run(_requested_at(dsn, run_id))
    )
    try:
        if as_json:
            asyncio.run(wait.watch(reader, JsonLines().show))
        else:
            with display.choose(Console(stderr=True), as_json=False) as shown:
                asyncio.run(wait.watch(reader, shown.show))
    except KeyboardInterrupt as error:
        raise InterruptedByUserError(f"run {run_id} goes on: see `onpoint status {run_id}`") from error


async def _requested_at(dsn: str, run_id: str) -> datetime:
    async with open_ledger(dsn) as ledger:
        return (await ledger.require_run(run_id)).requested_at


class JsonLines:
    """At most one line a second, and none where nothing was counted since the last one."""

    def __init__(self) -> None:
        self._shown: dict[str, Any] = {}
        self._next_s = 0.0

    def show(self, snapshot: Snapshot) -> None:
        counts = {key: (stage.batches_done, stage.batches_dead) for key, stage in snapshot.stages.items()}
        seen = {"status": snapshot.status, "counts": counts}
        if seen == self._shown or (snapshot.elapsed_s < self._next_s and snapshot.status in wait.GOES_ON):
            return
        self._shown, self._next_s = seen, snapshot.elapsed_s + LINE_EVERY_S
        print_json(
            {
                "run_id": snapshot.run_id,
                "status": snapshot.status,
                "elapsed_s": round(snapshot.elapsed_s, 3),
                "left_s": snapshot.left_s,
                "progress": [progress_document(stage, snapshot) for stage in snapshot.stages.values()],
            },
            compact=True,
        )
