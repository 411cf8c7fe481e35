"""The work queue of some services, kept open: each refresh reads what came since the last one, and nothing else."""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Final

from aiokafka import TopicPartition

from console.client.dead_letters.journal import open_journal
from console.client.dead_letters.queue import WorkQueue
from console.client.dead_letters.record import DeadLetter, to_dead_letter
from console.client.dead_letters.topics import DeadLetterTopics
from console.client.ledger import open_ledger

OVERLAP: Final = timedelta(minutes=1)
"""Rows of the journal are read again that far back: one that was acknowledged earlier may be committed later."""


class DeadLetterIndex:
    """For one caller at a time. Disk: a few hundred bytes per dead letter; memory a few megabytes."""

    def __init__(self, dead_letters: DeadLetterTopics, dsn: str, services: Collection[str]) -> None:
        self.queue = WorkQueue()
        """As of the last refresh."""
        self._dead_letters = dead_letters
        self._dsn = dsn
        self._services = list(services)
        self._read_to: dict[TopicPartition, int] = {}
        self._acknowledged_at: datetime | None = None

    def close(self) -> None:
        self.queue.close()

    async def refresh(
        self,
        start: dict[TopicPartition, int] | None = None,
        seen: Callable[[list[DeadLetter]], None] | None = None,
    ) -> None:
        """Reads dead letters, actions, and results of batches that had none yet.

        `start`, of the first refresh: only these partitions, from these offsets on. `seen` gets what is read. Raises
        `ClientError` where Kafka or PostgreSQL does not answer; the next refresh goes on from there.
        """
        if self._read_to:
            begin = {
                each: self._read_to.get(each, 0) for each in self._dead_letters.partitions(self._services)
            }
        else:
            begin = start or {}
        async for service, records in self._dead_letters.of(self._services, begin or None):
            found = [to_dead_letter(record, service) for record in records]
            self.queue.add_dead_letters(found)
            for record in records:
                self._read_to[TopicPartition(record.topic, record.partition)] = record.offset + 1
            if seen is not None:
                seen(found)
        await self._refresh_actions()
        async with open_ledger(self._dsn) as ledger:
            for batch_ids in self.queue.batches_without_result():
                self.queue.add_results(await ledger.done_stages(batch_ids))

    async def _refresh_actions(self) -> None:
        since = None if self._acknowledged_at is None else self._acknowledged_at - OVERLAP
        async with open_journal(self._dsn) as journal:
            async for actions in journal.actions(self._services, since):
                self.queue.add_actions(actions)
                latest = max((action.acknowledged_at for action in actions), default=None)
                if latest is not None:
                    self._acknowledged_at = max(latest, self._acknowledged_at or latest)
