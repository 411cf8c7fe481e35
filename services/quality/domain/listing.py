"""`_runs/<run_id>.json`: what a reader of the lake lists, assembled piece by piece."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from services.quality.domain.row_accounting import format_label
from shared.events.models import RunCompleted

Kind = Literal["objects", "exports", "combined"]
KINDS: tuple[Kind, ...] = ("objects", "exports", "combined")
"""Lake objects, export files of a batch, export files of many batches: the lists of a dataset, the last only where it has
files."""


@dataclass(frozen=True, slots=True)
class ListedFile:
    dataset: str
    kind: Kind
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
    """The listing's text. `files` come by dataset and kind; memory is one file's entry.

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
        self._list: Kind = "objects"

    def before(self, file: ListedFile) -> bytes:
        """What comes between the entry before and this one."""
        if self.datasets and self.datasets[-1] == file.dataset:
            return self._up_to(file.kind) or b","
        closed = self.close() + (b"," if self.datasets else b"")
        self.datasets.append(file.dataset)
        self._list = "objects"
        return closed + orjson.dumps(file.dataset) + b':{"objects":[' + self._up_to(file.kind)

    def close(self) -> bytes:
        return self._up_to("exports") + b"]}" if self.datasets else b""

    def _up_to(self, kind: Kind) -> bytes:
        """Closes the lists before that of the kind, and opens it."""
        behind = KINDS[KINDS.index(self._list) + 1 : KINDS.index(kind) + 1]
        if behind:
            self._list = kind
        return b"".join(b'],"%s":[' % name.encode() for name in behind)


def _entry(file: ListedFile, run_id: str) -> bytes:
    entry: dict[str, Any] = {
        "uri": file.uri,
        "rows": file.rows,
        "bytes": file.bytes,
        "sha256": file.sha256,
    }
    if file.rows_of_run is not None:
        entry |= {"where": {"_run_id": run_id}, "rows_of_run": file.rows_of_run}
    if file.kind != "objects":
        entry = {"uri": file.uri, "format": format_label(file.format), **entry}
    return orjson.dumps(entry)
