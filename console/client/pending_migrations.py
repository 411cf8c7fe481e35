"""The migrations that a run waits for. The loader waits without end for a table or a column that is not there."""

import asyncio
from collections.abc import Iterable, Mapping

from console.client.ledger import Ledger, StageProgress
from console.client.progress import Key
from console.formatting import listed
from shared.datasets.frozen import RunDatasets
from shared.datasets.model import Dataset
from shared.errors import OnPointError

ANSWER_S = 3.0
"""Of the object store: a person waits for the rest."""


def datasets_to_load(stages: Mapping[Key, StageProgress]) -> list[str]:
    """Those with batches that are processed and not loaded."""
    return [
        dataset
        for (dataset, name), stage in stages.items()
        if name == "loader"
        and (processed := stages.get((dataset, "processor"))) is not None
        and stage.batches_done + stage.batches_dead < processed.batches_done
    ]


def lacking(dataset: Dataset, columns: Iterable[str]) -> str | None:
    """What `onpoint migrate` has yet to create for a dataset whose table has these columns; no columns: no table."""
    there = frozenset(columns)
    if not there:
        return f"loading waits: there is no table {dataset.table}: run `onpoint migrate`"
    missing = [column.name for column in dataset.columns if column.name not in there]
    if not missing:
        return None
    noun = "column" if len(missing) == 1 else "columns"
    return f"loading waits: table {dataset.table} has no {noun} {listed(missing)}: run `onpoint migrate`"


class PendingMigrations:
    """Finds tables and columns that the batches of a run wait for. A dataset whose file cannot be read is left out."""

    def __init__(self, datasets: RunDatasets) -> None:
        self._datasets = datasets

    async def find(self, ledger: Ledger, run_id: str, stages: Mapping[Key, StageProgress]) -> list[str]:
        """One sentence per table. Raises `LedgerUnavailableError`."""
        found = []
        for name in sorted(datasets_to_load(stages)):
            try:
                async with asyncio.timeout(ANSWER_S):
                    dataset = await self._datasets.get(run_id, name)
            except (OnPointError, TimeoutError):
                continue
            if (sentence := lacking(dataset, await ledger.columns(dataset.table))) is not None:
                found.append(sentence)
        return list(dict.fromkeys(found))
