"""Loops beside the handlers: they publish what a crash left unpublished, rewrite listings of ended runs, and show the state
of the pipeline.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aiokafka.errors import KafkaError

from services.quality.service.ledger import LedgerService
from services.quality.service.listings import Listings
from services.quality.service.state import PipelineMetrics
from shared.bus.delivery import POISONED_PRODUCER
from shared.errors import TransientError
from shared.lake.listings import DatasetListings
from shared.postgres.errors import StatementFailedError
from shared.runtime.background import Outage

INTERVAL_S = 1.0
STATE_INTERVAL_S = 5.0
"""Below the usual interval of scrapes, so that each sees new figures."""


async def publish_forever(ledger: LedgerService) -> None:
    """Publishes milestones that a process had reached but not published when it crashed."""
    await _repeat(ledger.publish_unpublished)


async def list_forever(listings: Listings, of_datasets: DatasetListings) -> None:
    """Rewrites the listings of ended runs, and of datasets, that are behind what PostgreSQL has."""

    async def catch_up() -> None:
        await listings.catch_up()
        await of_datasets.catch_up()

    await _repeat(catch_up)


async def show_forever(state: PipelineMetrics) -> None:
    """Shows the state of the pipeline in the metrics. Whatever goes wrong, the last figures stay."""
    outage = Outage("state_unknown", "state_known")
    while True:
        await asyncio.sleep(STATE_INTERVAL_S)
        try:
            await state.refresh()
        except Exception as error:  # noqa: BLE001 - figures must not stop a service; it is logged
            await outage.wait(error)
        else:
            outage.end()


async def _repeat(work: Callable[[], Awaitable[object]]) -> None:
    outage = Outage("loop_paused", "loop_resumed", work="a loop beside the records")
    while True:
        await asyncio.sleep(INTERVAL_S)
        try:
            await work()
        except POISONED_PRODUCER:
            raise
        except (TransientError, StatementFailedError, KafkaError) as error:
            await outage.wait(error)
        else:
            outage.end()
