"""Submits a run: publishes its request, unless its id is taken."""

from typing import TYPE_CHECKING

from console.client.errors import InvalidRequestError
from console.client.run_request import RunRequest
from console.formatting import listed

if TYPE_CHECKING:
    from console.client.ledger import RunRow
    from shared.bus.kafka import KafkaClients


async def submit(
    request: RunRequest, kafka: "KafkaClients", dsn: str | None, *, may_exist: bool
) -> "RunRow | None":
    """The run as the ledger knew it before; None: it is new. A run that is over is not requested again.

    `may_exist`: the id was given, so an earlier request may have it. Raises as `find_submitted`.
    """
    from console.client.kafka import publish_request

    before = await find_submitted(request, dsn) if may_exist else None
    if before is None or before.completed is None:
        await publish_request(kafka, request.run_id, request.value())
    return before


async def find_submitted(request: RunRequest, dsn: str | None) -> "RunRow | None":
    """The run of this id, if the ledger has one. Raises `InvalidRequestError` where its request differs."""
    from console.client.ledger import LedgerUnavailableError, open_ledger

    if dsn is None:
        return None
    try:
        async with open_ledger(dsn) as ledger:
            run = await ledger.run(request.run_id)
    except LedgerUnavailableError:
        return None  # Kafka alone is enough for a run that is new
    if run is not None:
        require_same_run(request, run)
    return run


def require_same_run(request: RunRequest, before: "RunRow") -> None:
    """Raises `InvalidRequestError` where the run of this id has other datasets or another parent: an id names one run."""
    if before.requested_by is None and before.completed is None:
        return  # the ledger has results of the run, and not yet its request
    if before.replay_of is not None and before.replay_of != request.replay_of:
        raise InvalidRequestError(
            f"run {request.run_id} is a replay of {before.replay_of}; choose another id"
        )
    if before.datasets and set(before.datasets) != set(request.datasets):
        raise InvalidRequestError(f"run {request.run_id} is of {listed(before.datasets)}; choose another id")
    # A request that no service has taken up is listed without the run that it replays.
    if before.is_taken_up and before.replay_of != request.replay_of:
        raise InvalidRequestError(
            f"run {request.run_id} is not a replay of {request.replay_of}; choose another id"
        )
