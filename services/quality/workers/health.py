"""The loop that measures health."""

import asyncio

from services.quality.service.health import HealthService
from shared.observability.logging import get_logger

LOOK_S = 5.0
"""Between two looks whether a measurement is due."""

FIRST_AFTER_S = 20.0
"""When services start together, each has had its time to be ready."""

AGAIN_S = 60.0

log = get_logger()


async def measure_forever(health: HealthService) -> None:
    await asyncio.sleep(FIRST_AFTER_S)
    while True:
        try:
            await health.measure_if_due()
        except Exception:
            # A measurement that fails must not take the ledger down with it.
            log.exception("health_failed")
            await asyncio.sleep(AGAIN_S)
        await asyncio.sleep(LOOK_S)
