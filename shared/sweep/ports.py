"""The ports of a sweep."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.sweep.rules import Run


class RunIndex(Protocol):
    """The runs in the ledger."""

    async def runs(self, run_ids: Collection[str]) -> Mapping[str, Run]:
        """Those of the runs that are known."""

    async def runs_of_hours(self, hours: Collection[datetime]) -> Sequence[Run]:
        """The runs that were requested in one of these hours."""

    async def files(self, run_ids: Collection[str]) -> frozenset[str]:
        """The URI of every file, in staging and in the lake, that a result of these runs names."""

    async def compacted(self, uris: Collection[str]) -> frozenset[str]:
        """Those that a compaction made, or may be about to name."""

    async def replaced(self, uris: Collection[str], before: datetime) -> frozenset[str]:
        """Those in whose place every listing names the object of a compaction, since before that moment."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload that was begun and neither completed nor aborted."""

    bucket: str
    key: str
    upload_id: str
    begun_at: datetime
    bytes: int
    """In the parts that arrived."""


class Uploads(Protocol):
    """The open multipart uploads of a store's buckets."""

    def open_before(self, moment: datetime) -> AsyncIterator[Upload]: ...

    async def abort(self, upload: Upload) -> None:
        """Idempotent."""
