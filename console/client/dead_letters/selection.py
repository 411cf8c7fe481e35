"""Which dead letters a command means: those it names, or those that its filters leave."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import TopicPartition

from console.client.dead_letters.index import DeadLetterIndex
from console.client.dead_letters.queue import Entry, Filters, WorkQueue
from console.client.dead_letters.record import DeadLetter, Position
from console.client.dead_letters.topics import DeadLetterTopics
from console.client.errors import ClientError
from shared.events.topics import dead_letter_topic
from shared.events.topology import SERVICES

EVERYTHING = 10**9


@dataclass(frozen=True, slots=True)
class Selection:
    named: tuple[Position, ...]
    """If any, the filters do not matter."""
    filters: Filters
    limit: int | None


async def chosen(dead_letters: DeadLetterTopics, dsn: str, selection: Selection) -> list[Entry]:
    """The entries, oldest first where they were filtered. Raises `ClientError` for a named one that is not there."""
    if selection.named:
        return await find(dead_letters, dsn, selection.named)
    services = services_of(selection.filters)
    async with open_queue(dead_letters, dsn, services) as queue:
        return queue.oldest(selection.filters, selection.limit or EVERYTHING)


async def find(dead_letters: DeadLetterTopics, dsn: str, named: Collection[Position]) -> list[Entry]:
    """The entries of these dead letters; where the record died again since, its newest dead letter stands for it."""
    start: dict[TopicPartition, int] = {}
    for position in named:
        partition = TopicPartition(dead_letter_topic(position.service), position.partition)
        start[partition] = min(position.offset, start.get(partition, position.offset))
    identities: dict[Position, str] = {}
    services = {position.service for position in named}
    async with open_queue(dead_letters, dsn, services, start, identities, named) as queue:
        for position in named:
            if position not in identities:
                raise ClientError(f"there is no dead letter {position}: see `onpoint dlq list --state all`")
        found = [queue.entry(position.service, identities[position]) for position in named]
    return list({entry.dead_letter.position: entry for entry in found if entry is not None}.values())


@asynccontextmanager
async def open_queue(
    dead_letters: DeadLetterTopics,
    dsn: str,
    services: Collection[str],
    start: dict[TopicPartition, int] | None = None,
    identities: dict[Position, str] | None = None,
    wanted: Collection[Position] = (),
) -> AsyncIterator[WorkQueue]:
    """The services' dead letters as they are now, with what was done about them and what became of their batches.

    `identities` is filled with those of the `wanted` dead letters that are read.
    """
    index = DeadLetterIndex(dead_letters, dsn, services)

    def remember(read: list[DeadLetter]) -> None:
        if identities is not None:
            identities.update((one.position, one.identity) for one in read if one.position in wanted)

    try:
        await index.refresh(start, remember)
        yield index.queue
    finally:
        index.close()


def services_of(filters: Filters) -> tuple[str, ...]:
    return (filters.service,) if filters.service else SERVICES
