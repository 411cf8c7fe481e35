"""Shows in the metrics how much waits for the sink."""

import asyncio

from services.s3sink.adapters.repository import SinkRepository
from shared.errors import TransientError
from shared.observability.logging import get_logger
from shared.observability.metrics import LAKE_BATCHES_WAITING, LAKE_OBJECTS_WAITING
from shared.postgres.errors import StatementFailedError

EVERY_S = 5.0

log = get_logger()


async def show_queue_forever(repository: SinkRepository) -> None:
    """Never returns. In an outage the last figures stay."""
    while True:
        try:
            objects, batches = await repository.waiting()
        except (TransientError, StatementFailedError) as error:
            log.debug("queue_unknown", why=str(error))
        else:
            LAKE_OBJECTS_WAITING.set(objects)
            LAKE_BATCHES_WAITING.set(batches)
        await asyncio.sleep(EVERY_S)
