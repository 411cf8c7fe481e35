"""What of a run can be replayed."""

from collections.abc import Sequence

from console.client.errors import ClientError, InvalidRequestError
from console.client.ledger import RunRow, StageProgress, open_ledger
from console.formatting import did_you_mean, listed
from shared.events.topology import PIPELINE


async def find_run(dsn: str, run_id: str) -> tuple[RunRow, list[StageProgress]]:
    """The run, and how far its stages came. Raises `ClientError` where the ledger does not have it."""
    async with open_ledger(dsn) as ledger:
        return await ledger.require_run(run_id), await ledger.progress(run_id)


def choose_datasets(old: RunRow, asked: Sequence[str]) -> tuple[str, ...]:
    """The datasets to replay: those asked for, or all that the run has.

    Raises `ClientError` for a run that goes on or has none, `InvalidRequestError` for a dataset that it does not have.
    """
    if old.status == "running":
        raise ClientError(
            f"run {old.run_id} goes on: it can be replayed when it is over, see `onpoint status {old.run_id}`"
        )
    if not old.datasets:
        raise ClientError(f"run {old.run_id} has nothing to replay: {old.reason or 'it has no datasets'}")
    for name in asked:
        if name not in old.datasets:
            raise InvalidRequestError(
                f"run {old.run_id} has no dataset {name}"
                f"{did_you_mean(name, old.datasets) or ': it has ' + listed(old.datasets)}"
            )
    return tuple(dict.fromkeys(asked)) or old.datasets


def require_stored(
    old: RunRow, progress: Sequence[StageProgress], datasets: Sequence[str], from_stage: str
) -> None:
    """Raises `ClientError` where no batch reached the stage. What a replay copied is stored by the run before it."""
    parent = next(entry.parent for entry in PIPELINE if entry.name == from_stage)
    stored = any(one.batches_done for one in progress if one.stage == parent and one.dataset in datasets)
    if not stored and old.replay_of is None:
        raise ClientError(f"run {old.run_id} stored nothing to replay from the {from_stage}: run it again")
