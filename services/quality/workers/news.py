"""The loops that make news and send it. None of it touches a run."""

import asyncio
from collections.abc import Sequence

from services.quality.service.news import NewsCollector, NewsSender
from shared.errors import TransientError
from shared.observability.logging import get_logger
from shared.postgres.errors import StatementFailedError
from shared.runtime.background import Outage

COLLECT_S = 2.0
OVERDUE_EVERY = 15
"""Of the turns of the collector: half a minute."""

IDLE_S = 1.0
"""Between two looks of a sender that had nothing to send."""

AGAIN_S = 30.0
"""After an error that is no outage."""

log = get_logger()


async def collect_forever(collector: NewsCollector) -> None:
    outage = Outage("news_paused", "news_resumed")
    turn = 0
    while True:
        try:
            await collector.tell_completions()
            if turn % OVERDUE_EVERY == 0:
                await collector.tell_overdue()
                await collector.keep_house()
        except (TransientError, StatementFailedError) as error:
            await outage.wait(error)
        except Exception:
            # News that fails must not take the ledger down with it.
            log.exception("news_failed")
            await asyncio.sleep(AGAIN_S)
        else:
            outage.end()
            turn += 1
            await asyncio.sleep(COLLECT_S)


async def send_forever(senders: Sequence[NewsSender]) -> None:
    """A task for each channel: a slow one keeps no other waiting."""
    async with asyncio.TaskGroup() as tasks:
        for sender in senders:
            tasks.create_task(_send_forever(sender))


async def _send_forever(sender: NewsSender) -> None:
    outage = Outage("news_sender_paused", "news_sender_resumed")
    while True:
        try:
            pause_s = await sender.send_next()
        except (TransientError, StatementFailedError) as error:
            await outage.wait(error)
        except Exception:
            log.exception("news_sender_failed", channel=sender.name)
            await asyncio.sleep(AGAIN_S)
        else:
            outage.end()
            await asyncio.sleep(IDLE_S if pause_s is None else pause_s)
