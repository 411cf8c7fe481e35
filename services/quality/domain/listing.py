"""`_runs/<run_id>.json`: what a reader of the lake lists, assembled piece by piece."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson

from services.quality.domain.row_accounting import format_label
from shared.events.models import RunCompleted
from shared.events.topology import Stage


@dataclass(frozen=True, slots=True)
class ListedFile:
    dataset: str
    stage: Stage
    uri: str
    format: str
    rows: int
    bytes: int
    sha256: str
    rows_of_run: int | None = None
    """Of an object that has rows of other runs too: how many are of this one."""


async def listing(
    completed: RunCompleted, files: AsyncIterator[ListedFile], superseded_by: str | None = None
) -> AsyncIterator[bytes]:
    """The listing's text. `files` come by dataset, lake objects (`s3sink`) before exports; memory is one file's entry.

    `superseded_by`: the run that replayed this one.
    """
    head = completed.model_dump(mode="json", include={"run_id", "status", "requested_at", "finished_at"})
    yield orjson.dumps({**head, "superseded_by": superseded_by})[:-1] + b',"datasets":{'
    open_lists = _OpenLists()
    async for file in files:
        if file.dataset in completed.datasets:
            yield open_lists.before(file) + _entry(file, completed.run_id)
    yield open_lists.close()
    # Datasets without a file are listed too: a reader must be able to tell "nothing" from "not part of this run".
    bare = [name for name in completed.datasets if name not in open_lists.datasets]
    pieces = [orjson.dumps(name) + b':{"objects":[],"exports":[]}' for name in bare]
    yield (b"," if bare and open_lists.datasets else b"") + b",".join(pieces) + b"}}"


class _OpenLists:
    """Which brackets are open."""

    def __init__(self) -> None:
        self.datasets: list[str] = []
        self._exports = False

    def before(self, file: ListedFile) -> bytes:
        """What comes between the entry before and this one."""
        text = b""
        if not self.datasets or self.datasets[-1] != file.dataset:
            text = (
                self.close()
                + (b"," if self.datasets else b"")
                + orjson.dumps(file.dataset)
                + b':{"objects":['
            )
            self.datasets.append(file.dataset)
            self._exports = False
            separator = b""
        else:
            separator = b","
        if file.stage != "s3sink" and not self._exports:
            self._exports = True
            return text + b'],"exports":['
        return text + separator

    def close(self) -> bytes:
        if not self.datasets:
            return b""
        return b"]}" if self._exports else b'],"exports":[]}'


def _entry(file: ListedFile, run_id: str) -> bytes:
    entry: dict[str, Any] = {
        "uri": file.uri,
        "rows": file.rows,
        "bytes": file.bytes,
        "sha256": file.sha256,
    }
    if file.rows_of_run is not None:
        entry |= {"where": {"_run_id": run_id}, "rows_of_run": file.rows_of_run}
    if file.stage != "s3sink":
        entry = {"uri": file.uri, "format": format_label(file.format), **entry}
    return orjson.dumps(entry)
