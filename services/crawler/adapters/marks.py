"""How far the complete runs of a dataset reached. A mark is an object that is written once; the newest counts."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from shared.events.models import Timestamp
from shared.stages.results import parse_stored
from shared.storage import keys
from shared.storage.object_store import ObjectStore


class Mark(BaseModel):
    """The content of `marks/<dataset>/<time>-<run>.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    dataset: str
    run_id: str
    requested_at: Timestamp
    value: str | int | None = None
    """The time or number up to which records are known; None: the next run begins anew."""
    token: Any = None
    set_by: str | None = None
    """The person who wrote it in place of a run."""


class Marks:
    """Every method raises `StorageUnavailableError` in an outage."""

    def __init__(self, staging: ObjectStore) -> None:
        self._staging = staging

    async def newest(self, dataset: str, before: datetime | None = None) -> Mark | None:
        """Costs a listing of the dataset's marks. `before`: of runs that were requested before it."""
        names = sorted(
            [info.key async for info in self._staging.list(keys.marks_prefix(dataset))], reverse=True
        )
        for key in names:
            found = await self._staging.get(key)
            if found is None:
                continue
            mark = parse_stored(Mark, found, key)
            if before is None or mark.requested_at < before:
                return mark
        return None

    async def all(self, dataset: str) -> list[Mark]:
        """The newest first."""
        names = sorted(
            [info.key async for info in self._staging.list(keys.marks_prefix(dataset))], reverse=True
        )
        texts = [(key, await self._staging.get(key)) for key in names]
        return [parse_stored(Mark, text, key) for key, text in texts if text is not None]

    async def put_if_absent(self, mark: Mark) -> bool:
        """False: the run has one already."""
        key = keys.mark_key(mark.dataset, mark.requested_at, mark.run_id)
        return await self._staging.create(key, mark.model_dump_json().encode())
