"""Measures the pipeline's health on a schedule and on demand, and keeps what it found."""

import asyncio
from collections.abc import Callable

from services.quality.adapters.health import HealthRepository
from shared.errors import OnPointError
from shared.health.measure import HealthMeter
from shared.health.model import LEVEL, HealthReport
from shared.observability.logging import get_logger
from shared.observability.metrics import HEALTH_STATUS

FRESH_S = 10.0
"""A report that is younger is given again: whoever asks in a loop costs the database nothing more."""

log = get_logger()


class HealthService:
    def __init__(
        self, meter: Callable[[], HealthMeter], repository: HealthRepository, interval_s: float
    ) -> None:
        """A meter serves one measurement: the dataset files may change meanwhile."""
        self._meter = meter
        self._repository = repository
        self._interval_s = interval_s
        self._lock = asyncio.Lock()
        self._last: HealthReport | None = None
        self._last_s = 0.0

    async def report(self) -> HealthReport:
        """Measured now, or in the last ten seconds. Raises nothing: a database that is away is in the report."""
        async with self._lock:
            loop = asyncio.get_running_loop()
            if self._last is None or loop.time() - self._last_s > FRESH_S:
                self._last = await self._measure()
                self._last_s = loop.time()
            return self._last

    async def measure_if_due(self) -> bool:
        """Whether it measured: not where a replica has, within the interval."""
        try:
            age_s, last = await self._repository.last()
        except OnPointError:
            age_s, last = None, None
        if age_s is None or age_s >= self._interval_s:
            await self.report()
            return True
        if last is not None:
            _show(last)
        return False

    async def _measure(self) -> HealthReport:
        report = await self._meter().measure()
        try:
            report = await self._repository.store(report)
        except OnPointError as error:
            log.warning("health_not_stored", why=str(error))
        _show(report)
        log.info("health", status=report.status, checks={check.name: check.status for check in report.checks})
        return report


def _show(report: HealthReport) -> None:
    """Whichever replica measured: the metrics of all of them agree."""
    HEALTH_STATUS.clear()
    for check in report.checks:
        HEALTH_STATUS.labels(check.name).set(LEVEL[check.status])
