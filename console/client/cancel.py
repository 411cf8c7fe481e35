"""Cancels a run: a mark in staging that each stage looks for before it takes up a batch of the run."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from console.client.errors import ClientError
from console.client.ledger import RECENT, RunRow, open_ledger, unknown_run
from console.client.untrusted_json import parse_object
from shared.events.times import utc_text
from shared.storage import keys

if TYPE_CHECKING:
    from shared.storage.object_store import ObjectStore


@dataclass(frozen=True, slots=True)
class Cancellation:
    mark: dict[str, Any]
    """Who cancelled the run, and when."""
    is_first: bool
    """False: an earlier call has cancelled the run, and the mark is its."""
    is_taken_up: bool
    """False: no service works on the run yet."""


async def cancel_run(run_id: str, dsn: str, staging: "ObjectStore", *, by: str) -> Cancellation:
    """Raises `ClientError` for a run that does not exist or is over, `TransientError` in an outage of the store."""
    run = await find_run(dsn, run_id)
    if run is None and await staging.head(keys.request_key(run_id)) is None:
        raise unknown_run(run_id, await _running(dsn))
    if run is not None and run.status != "running":
        raise ClientError(f"run {run_id} is over ({run.status}): there is nothing left to cancel")
    is_taken_up = run is None or run.is_taken_up
    mark = {"by": by, "at": utc_text(datetime.now(UTC))}
    if await staging.create(keys.cancel_key(run_id), json.dumps(mark).encode()):
        return Cancellation(mark, is_first=True, is_taken_up=is_taken_up)
    earlier = parse_object(await staging.get(keys.cancel_key(run_id)))
    return Cancellation(earlier, is_first=False, is_taken_up=is_taken_up)


async def find_run(dsn: str, run_id: str) -> RunRow | None:
    """None: the ledger does not have it."""
    async with open_ledger(dsn) as ledger:
        return await ledger.run(run_id)


async def _running(dsn: str) -> list[RunRow]:
    async with open_ledger(dsn) as ledger:
        return [run for run in await ledger.runs(RECENT) if run.status == "running"]
