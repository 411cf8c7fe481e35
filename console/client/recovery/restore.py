"""Publishes again what a Kafka that lost its records had of the runs.

Ends are in the ledger, requests in staging. All else follows from the requests: every stage publishes the results that it
has committed, and does the rest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from console.client.kafka import publish
from console.client.recovery.bus import KnownToBus, open_bus
from console.client.recovery.database import RecoveryDatabase, open_recovery
from shared.bus.kafka import KafkaClients
from shared.errors import PermanentError
from shared.events import topics
from shared.events.decode import encode
from shared.events.ids import is_run_id
from shared.events.models import CrawlRequest
from shared.reasons import Reason
from shared.stages.results import parse_stored
from shared.storage import keys
from shared.storage.object_store import ObjectStore

RECORDS_AT_ONCE = 500
OF_THE_CRAWLER = {"requested_at", "refused"}
"""Fields of an accepted request that no requester sends."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What PostgreSQL and staging know of the runs, and Kafka does not."""

    completions: tuple[str, ...]
    """Runs that have ended, without `run.completed`."""
    unfinished: tuple[str, ...]
    """Runs that were accepted and have not ended. Asking again for one whose records are there changes nothing."""
    too_old: tuple[str, ...]
    """Runs of staging that the ledger does not know, asked for before the oldest that is looked at: files may be swept."""
    never_accepted: tuple[str, ...]
    """Runs that were asked for and not taken up: their request was in Kafka alone."""
    dead_letter_actions: int
    """Actions on dead letters that are gone."""


async def find_missing(kafka: KafkaClients, dsn: str, staging: ObjectStore, *, oldest: datetime) -> Missing:
    """Runs that the ledger does not know count if they were asked for at `oldest` or later.

    Raises `ClientError` or `StorageUnavailableError` in an outage, `PermanentError` for a request in staging that cannot
    be read. Memory is the ids of all runs.
    """
    async with open_recovery(dsn) as database, open_bus(kafka) as bus:
        return await _missing(database, bus, staging, oldest)


async def restore(kafka: KafkaClients, dsn: str, staging: ObjectStore, *, oldest: datetime) -> Missing:
    """Publishes what is missing; returns what was. Idempotent, and harmless where Kafka has lost nothing.

    Raises as `find_missing`; done again, it goes on.
    """
    async with open_recovery(dsn) as database, open_bus(kafka) as bus:
        missing = await _missing(database, bus, staging, oldest)
        # The first word on dead letters: a request published below may bring new ones.
        await database.discount_lost_actions(await bus.ends_of_dead_letters())
        for run_ids in _pieces(missing.completions):
            await publish(kafka, topics.RUN_COMPLETED, await database.completions(run_ids))
        await database.announce_again()
        for run_ids in _pieces(missing.unfinished):
            requests = [(run_id, await _request(staging, run_id)) for run_id in run_ids]
            await publish(kafka, topics.CRAWL_REQUESTED, requests)
    return missing


async def _missing(
    database: RecoveryDatabase, bus: KnownToBus, staging: ObjectStore, oldest: datetime
) -> Missing:
    # The ledger first: a run that ends meanwhile is then still unfinished here, and its completion is not doubled.
    runs = await database.runs()
    ended = {run_id for run_id, has_ended in runs.items() if has_ended}
    accepted = [
        request
        for name in await staging.folders("runs/")
        # A run that was cancelled before it was accepted has a mark there and no request.
        if is_run_id(name) and name not in ended and (request := await _find_request(staging, name))
    ]
    too_old = {each.run_id for each in accepted if each.run_id not in runs and each.requested_at < oldest}
    # A run whose last record is there is completed by quality itself, now or soon.
    completed = await bus.runs_in(topics.RUN_COMPLETED) | await bus.runs_in(topics.RUN_DRAINED)
    return Missing(
        completions=tuple(sorted(ended - completed)),
        unfinished=tuple(each.run_id for each in accepted if each.run_id not in too_old),
        too_old=tuple(sorted(too_old)),
        never_accepted=tuple(sorted(runs.keys() - ended - {each.run_id for each in accepted})),
        dead_letter_actions=await database.count_lost_actions(await bus.ends_of_dead_letters()),
    )


async def _find_request(staging: ObjectStore, run_id: str) -> CrawlRequest | None:
    key = keys.request_key(run_id)
    stored = await staging.get(key)
    return None if stored is None else parse_stored(CrawlRequest, stored, key)


async def _request(staging: ObjectStore, run_id: str) -> bytes:
    """The value by which the run was asked for. Raises `PermanentError` where it is no longer in staging."""
    request = await _find_request(staging, run_id)
    if request is None:
        raise PermanentError(Reason.OBJECT_MISSING, f"staging has no request of run {run_id}")
    accepted = orjson.loads(encode(request))
    return orjson.dumps(
        {name: value for name, value in accepted.items() if name not in OF_THE_CRAWLER and value is not None}
    )


def _pieces(run_ids: Sequence[str]) -> Iterator[list[str]]:
    for first in range(0, len(run_ids), RECORDS_AT_ONCE):
        yield list(run_ids[first : first + RECORDS_AT_ONCE])
