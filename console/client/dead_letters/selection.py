"""Which dead letters a command means: those it names, or those that its filters leave."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import TopicPartition

from console.cli.errors import CommandError, WrongUseError
from console.client.dead_letters.journal import open_journal
from console.client.dead_letters.queue import STATES, Entry, Filters, State, WorkQueue
from console.client.dead_letters.record import Position, to_letter
from console.client.dead_letters.topics import DeadLetters
from console.client.ledger import open_ledger
from console.client.services import check_service
from console.formatting import did_you_mean, listed
from shared.events.topics import dead_letter_topic
from shared.events.topology import SERVICES
from shared.reasons import Reason

EVERYTHING = 10**9

CODES = tuple(code.value for code in Reason)


@dataclass(frozen=True, slots=True)
class Selection:
    named: tuple[Position, ...]
    """If any, the filters do not matter."""
    filters: Filters
    limit: int | None


def filters_of(
    service: str | None, run_id: str | None, stage: str | None, reason: str | None, state: str
) -> Filters:
    """Raises `WrongUseError` for a name that cannot be one."""
    if service is not None:
        check_service(service)
    if reason is not None and reason not in CODES:
        raise WrongUseError(
            f"there is no reason {reason}{did_you_mean(reason, CODES) or ': there are ' + listed(CODES)}"
        )
    return Filters(service, run_id, stage, reason, _state(state))


def select(
    named: Sequence[Position], filters: Filters, *, everything: bool, limit: int | None, verb: str
) -> Selection:
    """Raises `WrongUseError` unless the letters are named, or filtered, or all of them are meant."""
    if named and (everything or limit is not None or not filters.is_empty()):
        raise WrongUseError("name dead letters or filter them, not both")
    if not named and not everything and filters.is_empty():
        raise WrongUseError(
            f"which dead letters? name some, as in `onpoint dlq {verb} loader:3:42`, or give a filter such as "
            "--service or --run, or --all"
        )
    return Selection(tuple(dict.fromkeys(named)), filters, limit)


async def chosen(letters: DeadLetters, dsn: str, selection: Selection) -> list[Entry]:
    """The entries, oldest first where they were filtered. Raises `CommandError` for a named one that is not there."""
    if selection.named:
        return await find(letters, dsn, selection.named)
    services = services_of(selection.filters)
    async with open_queue(letters, dsn, services) as queue:
        return queue.oldest(selection.filters, selection.limit or EVERYTHING)


async def find(letters: DeadLetters, dsn: str, named: Collection[Position]) -> list[Entry]:
    """The entries of these letters; where the record died again since, its newest letter stands for it."""
    start: dict[TopicPartition, int] = {}
    for position in named:
        partition = TopicPartition(dead_letter_topic(position.service), position.partition)
        start[partition] = min(position.offset, start.get(partition, position.offset))
    identities: dict[Position, str] = {}
    services = {position.service for position in named}
    async with open_queue(letters, dsn, services, start, identities, named) as queue:
        for position in named:
            if position not in identities:
                raise CommandError(f"there is no dead letter {position}: see `onpoint dlq list --state all`")
        found = [queue.entry(position.service, identities[position]) for position in named]
    return list({entry.letter.position: entry for entry in found if entry is not None}.values())


@asynccontextmanager
async def open_queue(
    letters: DeadLetters,
    dsn: str,
    services: Collection[str],
    start: dict[TopicPartition, int] | None = None,
    identities: dict[Position, str] | None = None,
    wanted: Collection[Position] = (),
) -> AsyncIterator[WorkQueue]:
    """The services' dead letters as they are now, with what was done about them and what became of their batches.

    `identities` gets those of the `wanted` letters that are met on the way.
    """
    queue = WorkQueue()
    try:
        async for service, records in letters.of(services, start):
            read = [to_letter(record, service) for record in records]
            queue.add_letters(read)
            if identities is not None:
                identities.update((one.position, one.identity) for one in read if one.position in wanted)
        async with open_journal(dsn) as journal:
            async for actions in journal.actions(list(services)):
                queue.add_actions(actions)
        async with open_ledger(dsn) as ledger:
            for batch_ids in queue.batches():
                queue.add_results(await ledger.done_stages(batch_ids))
        yield queue
    finally:
        queue.close()


def services_of(filters: Filters) -> tuple[str, ...]:
    return (filters.service,) if filters.service else SERVICES


def _state(text: str) -> State | None:
    for state in STATES:
        if text == state:
            return state
    if text != "all":
        names = [*STATES, "all"]
        raise WrongUseError(
            f"there is no state {text}{did_you_mean(text, names) or ': there are ' + listed(names)}"
        )
    return None
