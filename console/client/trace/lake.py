"""Rows in the lake, by their key or their place: of each object as little is read as its footer allows."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from console.client.trace.budget import Budget
from console.client.trace.ledger import StoredFile
from console.client.trace.model import LakeFile, Origin
from console.client.trace.workers import run_workers
from shared.datasets.lineage import LINEAGE_NAMES
from shared.errors import PermanentError
from shared.parquet.lookup import find_rows
from shared.parquet.sparse import Range
from shared.storage.object_store import ObjectStore

CONCURRENCY = 16
"""Objects looked at at once."""

Progress = Callable[[int, int], None]
"""How many of how many are looked at."""


@dataclass
class LakeRows:
    """What a search found."""

    files: dict[Origin, list[LakeFile]] = field(default_factory=lambda: defaultdict(list))
    keys: dict[Origin, Mapping[str, Any]] = field(default_factory=dict)
    """The columns asked for besides, by the row."""
    searched: int = 0
    left: int = 0
    unreadable: list[str] = field(default_factory=list)


async def search_lake(
    lake: ObjectStore,
    dataset: str,
    files: Sequence[StoredFile],
    wanted: Mapping[str, "pa.Scalar[Any]"],
    columns: Sequence[str],
    budget: Budget,
    progress: Progress,
) -> LakeRows:
    """Rows with the wanted values in the files, in their order for as long as the budget lasts.

    Raises `StorageUnavailableError` in an outage.
    """
    found = LakeRows()
    waiting = iter(files)

    async def work() -> None:
        for file in waiting:
            if not budget.take(0):
                found.left += 1
                continue
            try:
                await _search(lake, dataset, file, wanted, columns, budget, found)
            except (PermanentError, pa.ArrowInvalid, OSError) as error:
                found.unreadable.append(f"{file.uri}: {error}"[:500])
            found.searched += 1
            progress(found.searched, len(files))

    await run_workers(CONCURRENCY, work)
    return found


async def _search(
    lake: ObjectStore,
    dataset: str,
    file: StoredFile,
    wanted: Mapping[str, "pa.Scalar[Any]"],
    columns: Sequence[str],
    budget: Budget,
    found: LakeRows,
) -> None:
    key = lake.key(file.uri, f"{dataset}/")

    async def fetch(ranges: Sequence[Range]) -> list[bytes]:
        budget.spend(sum(end - start for start, end in ranges))
        return await lake.read_ranges(key, ranges)

    for row in await find_rows(fetch, file.bytes, wanted, [*columns, *LINEAGE_NAMES]):
        values = row.values
        origin = Origin(
            values["_requested_at"], values["_run_id"], values["_source_position"], values["_batch_id"]
        )
        found.files[origin].append(LakeFile(file.uri, row.row_group, file.compaction))
        found.keys[origin] = {name: values.get(name) for name in columns}
