"""Sends figures of runs and of the machine to CloudWatch, a few requests an interval."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice

import psutil

from services.quality.adapters.cloudwatch import (
    MOST_AT_ONCE,
    CloudWatch,
    CloudWatchUnavailableError,
    FiguresRefusedError,
)
from services.quality.domain.run_figures import Figure, of_machine, of_run
from services.quality.settings import CloudWatchSettings
from shared.events.models import RunCompleted
from shared.observability.logging import get_logger
from shared.observability.metrics import CLOUDWATCH_FIGURES
from shared.runtime import memory

MOST_KEPT = 20_000
"""Figures of 5,000 runs; in a longer outage the oldest are dropped."""
LAST_TRY_S = 5.0
"""What a stopping process may take for what it still has."""

log = get_logger()


class CloudWatchExport:
    """Figures wait in memory: a process that is killed takes those of an interval with it. None is sent twice by the
    same process, but CloudWatch may count one twice that it took without an answer.
    """

    def __init__(
        self, settings: CloudWatchSettings, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._settings = settings
        self._now = now
        self._waiting: deque[Figure] = deque()
        self._is_away = False

    @property
    def is_on(self) -> bool:
        return self._settings.cloudwatch_interval_s > 0

    def add(self, run: RunCompleted) -> None:
        """Figures of a run that has ended wait for the next sending. Neither waits nor raises."""
        if self.is_on:
            self._keep(*of_run(run))

    async def send_forever(self) -> None:
        """An outage of CloudWatch costs figures at worst, never a run."""
        psutil.cpu_percent()  # of nothing: the next call tells the share since this one
        async with CloudWatch(self._settings) as cloudwatch:
            try:
                while True:
                    await asyncio.sleep(self._settings.cloudwatch_interval_s)
                    used = memory.measure().used_bytes
                    self._keep(*of_machine(used, psutil.cpu_percent(), self._now()))
                    await self.send(cloudwatch)
            finally:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LAST_TRY_S):
                        await self.send(cloudwatch)

    async def send(self, cloudwatch: CloudWatch) -> None:
        """All that waits; stops where CloudWatch is away, and keeps the rest."""
        while self._waiting:
            figures = list(islice(self._waiting, MOST_AT_ONCE))
            try:
                await cloudwatch.put(figures)
            except CloudWatchUnavailableError as error:
                if not self._is_away:
                    log.warning("cloudwatch_waits", error=str(error), figures=len(self._waiting))
                self._is_away = True
                return
            except FiguresRefusedError as error:
                log.warning("cloudwatch_refuses", error=str(error), figures=len(figures))
                self._forget(len(figures), "dropped")
            else:
                self._is_away = False
                self._forget(len(figures), "sent")

    def _keep(self, *figures: Figure) -> None:
        self._waiting.extend(figures)
        if (surplus := len(self._waiting) - MOST_KEPT) > 0:
            self._forget(surplus, "dropped")

    def _forget(self, count: int, outcome: str) -> None:
        for _ in range(count):
            self._waiting.popleft()
        CLOUDWATCH_FIGURES.labels(outcome).inc(count)
