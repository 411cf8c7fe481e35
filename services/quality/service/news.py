"""Turns what the ledger has into news, once each, and sends it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.quality.adapters.completions import CompletionRepository
from services.quality.adapters.news import NewsSources
from services.quality.domain.news import Expectation, of_columns, of_completion, overdue
from shared import crashpoints
from shared.datasets.frozen import RunDatasets
from shared.datasets.model import Dataset
from shared.datasets.versions import ColumnsVersion
from shared.errors import ConfigurationError, PermanentError, TransientError
from shared.events.models import RunCompleted
from shared.news.channels.base import SEND_TIMEOUT_S, Channel
from shared.news.config import NewsConfig
from shared.news.errors import ChannelRefusedError, ChannelUnavailableError
from shared.news.item import NewsItem
from shared.news.outbox import Delivery, Outbox
from shared.observability.logging import get_logger
from shared.observability.metrics import NEWS_FAILED, NEWS_PENDING, NEWS_SENT, RUN_OVERDUE

LEASE_S = 3 * SEND_TIMEOUT_S
"""For how long a delivery is one sender's: as long as a try takes at most, and again twice for a slow process."""

PAUSES_S = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0)
"""Before the next try of a delivery; the last one from there on, until a day is over."""

NOTE_AGAIN_S = 1.0

STOP_S = 8.0
"""What a stop gives a try that goes on; with the time that records have, below what a container has to end."""

FAILURES_TO_PAUSE = 3
"""In a row, of one channel: its other deliveries wait then too, and one of them looks whether it is back."""

log = get_logger()


class NewsCollector:
    """Raises `DatabaseUnavailableError` and `StorageUnavailableError` in an outage."""

    def __init__(
        self,
        sources: NewsSources,
        completions: CompletionRepository,
        outbox: Outbox,
        config: NewsConfig,
        datasets: Callable[[], Mapping[str, Dataset]],
        of_runs: RunDatasets,
    ) -> None:
        """`datasets`: as their files are now."""
        self._sources = sources
        self._completions = completions
        self._outbox = outbox
        self._config = config
        self._datasets = datasets
        self._of_runs = of_runs

    async def tell_completions(self) -> None:
        """Replicas may do it at once: an item is there once. The run's own item is the last of its items."""
        for run_id in await self._sources.untold_completions():
            completed = await self._completions.verdict(run_id)
            if completed is None:
                continue
            before = await self._sources.rows_before(run_id, completed.datasets)
            items = [*of_completion(completed, before), *await self._new_columns(completed)]
            for item in reversed(items):
                await self._outbox.add(item, self._config.channels_of(item))

    async def _new_columns(self, completed: RunCompleted) -> list[NewsItem]:
        """Of the versions that this run made. The object store is asked only where columns may change."""
        items: list[NewsItem] = []
        for name, dataset in (await self._of_runs.find_all(completed.run_id, completed.datasets)).items():
            if dataset.contract.is_fixed:
                continue
            try:
                versions = await self._of_runs.chain.all(name)
            except PermanentError as error:
                log.warning("columns_unreadable", dataset=name, why=str(error))
                continue
            before: ColumnsVersion | None = None
            for version in versions:
                if version.run_id == completed.run_id:
                    items.append(of_columns(version, before))
                before = version
        return items

    async def tell_overdue(self) -> None:
        expected = {name: file.expect for name, file in self._datasets().items() if file.expect is not None}
        late: set[str] = set()
        for last in await self._sources.last_deliveries(list(expected)):
            terms = expected[last.dataset]
            expectation = Expectation(
                last.dataset, terms.every_time, terms.within_time, last.since, last.run_id
            )
            if (item := overdue(expectation, last.now)) is not None:
                late.add(last.dataset)
                if await self._outbox.add(item, self._config.channels_of(item)):
                    log.warning("run_overdue", dataset=last.dataset, due_at=expectation.due_at().isoformat())
        RUN_OVERDUE.clear()
        for name in expected:
            RUN_OVERDUE.labels(name).set(name in late)

    async def keep_house(self) -> None:
        if abandoned := await self._outbox.keep_house():
            log.warning("news_abandoned", deliveries=abandoned)
        counts = await self._outbox.counts()
        for channel in {*self._config.channels, *counts}:
            pending, failed = counts.get(channel, (0, 0))
            NEWS_PENDING.labels(channel).set(pending)
            NEWS_FAILED.labels(channel).set(failed)


@dataclass(slots=True)
class NewsSender:
    """Sends the deliveries of one channel, one after the other. Raises `DatabaseUnavailableError` in an outage."""

    name: str
    channel: Channel
    outbox: Outbox
    pauses_s: tuple[float, ...] = PAUSES_S
    _failures: int = 0

    async def send_next(self) -> float | None:
        """Tries one delivery. Returns the seconds to wait before the next; None: there was nothing to send."""
        loop = asyncio.get_running_loop()
        claimed_s = loop.time()
        delivery = await self.outbox.claim(self.name, LEASE_S)
        if delivery is None:
            return None
        crashpoints.reach("news.claimed")
        if loop.time() - claimed_s > LEASE_S - SEND_TIMEOUT_S:
            return 0.0  # this process stood still: by the end of a try another one would have claimed it
        attempt = asyncio.ensure_future(self._attempt(delivery))
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            # An orderly stop: a try that is cut off here would leave the delivery in doubt.
            await asyncio.wait({attempt}, timeout=STOP_S)
            attempt.cancel()
            raise

    async def _attempt(self, delivery: Delivery) -> float:
        try:
            await self.channel.send(delivery)
        except ChannelUnavailableError as error:
            return await self._unavailable(delivery, error)
        except (ChannelRefusedError, ConfigurationError) as error:
            await self._refused(delivery, str(error))
            return 0.0
        except Exception as error:  # noqa: BLE001 - a channel must not end the service
            failure = ChannelUnavailableError(f"unexpected: {type(error).__name__}", in_doubt=True)
            return await self._unavailable(delivery, failure)
        crashpoints.reach("news.sent")
        self._failures = 0
        NEWS_SENT.labels(self.name).inc()
        if not await self._note_sent(delivery):
            log.warning("news_claim_lost", channel=self.name, delivery_id=delivery.id)
        log.info("news_sent", channel=self.name, item_id=delivery.item.id, tries=delivery.tries)
        return 0.0

    async def _note_sent(self, delivery: Delivery) -> bool:
        """Through an outage too, while the claim lasts: what is not noted is sent again."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + LEASE_S - SEND_TIMEOUT_S
        while True:
            try:
                return await self.outbox.sent(delivery)
            except TransientError:
                if loop.time() > end_s:
                    raise
                await asyncio.sleep(NOTE_AGAIN_S)

    async def _unavailable(self, delivery: Delivery, error: ChannelUnavailableError) -> float:
        pause_s = self.pauses_s[min(delivery.tries, len(self.pauses_s)) - 1]
        pause_s = max(pause_s, error.retry_after_s or 0.0)
        state = await self.outbox.not_sent(delivery, str(error), in_doubt=error.in_doubt, again_in_s=pause_s)
        self._failures += 1
        log.warning("news_not_sent", channel=self.name, item_id=delivery.item.id, why=str(error), state=state)
        if error.retry_after_s is not None:
            return error.retry_after_s
        if self._failures < FAILURES_TO_PAUSE:
            return 0.0
        return self.pauses_s[min(self._failures - FAILURES_TO_PAUSE, len(self.pauses_s) - 1)]

    async def _refused(self, delivery: Delivery, why: str) -> None:
        await self.outbox.not_sent(delivery, why, in_doubt=False, again_in_s=None)
        log.error("news_refused", channel=self.name, item_id=delivery.item.id, why=why)
