"""The rows that a run refused, as they are in quarantine: read from staging one by one, never all at once."""

import io
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from console.client.errors import ClientError
from console.client.ledger import QuarantineFile
from console.client.untrusted_json import parse_object
from shared.errors import PermanentError
from shared.reasons import Reason
from shared.storage import keys
from shared.storage.object_store import ObjectStore

MAX_LINE_BYTES = 8 * 2**20
"""A row keeps 1 MiB of what the source sent, and JSON may spell each byte with six. What is longer is cut here."""


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row in quarantine, and the batch that it is from."""

    dataset: str
    stage: str
    batch_id: str
    position: int | None
    """Its place in the dataset's crawl, from 0."""
    reason: str
    detail: str
    url: str | None
    """The request that brought it."""
    raw: str | None
    """As it came; None where it is not text: then `raw_base64` has its bytes."""
    raw_base64: str | None

    def document(self) -> dict[str, Any]:
        """The line of quarantine, and where it is from."""
        raw = {"raw": self.raw} if self.raw_base64 is None else {"raw_base64": self.raw_base64}
        return {
            "dataset": self.dataset,
            "stage": self.stage,
            "batch_id": self.batch_id,
            "source_position": self.position,
            "reason": self.reason,
            "detail": self.detail,
            "url": self.url,
            **raw,
        }


async def read_rows(
    staging: ObjectStore, run_id: str, files: AsyncIterator[QuarantineFile], reason: str | None
) -> AsyncGenerator[QuarantinedRow]:
    """Every refused row, or those of one reason. A file at a time is on disk, one row of it in memory.

    Raises `ClientError` for a file that is gone or damaged or has no room here, `TransientError` in an outage.
    """
    async for file in files:
        with tempfile.TemporaryDirectory(prefix="onpoint-") as folder:
            local = Path(folder) / "quarantine"
            await _fetch(staging, run_id, file, local)
            try:
                for line in _lines(local):
                    row = _row(file, line)
                    if reason is None or row.reason == reason:
                        yield row
            except zstandard.ZstdError as error:
                raise ClientError(f"{file.uri} is damaged, its rows cannot be shown: {error}") from error


async def _fetch(staging: ObjectStore, run_id: str, file: QuarantineFile, local: Path) -> None:
    try:
        key = staging.key(file.uri, keys.dataset_prefix(run_id, file.dataset))
        await staging.download(key, local, size=file.bytes, sha256=file.sha256)
    except PermanentError as error:
        if error.reason is Reason.OBJECT_MISSING:
            raise ClientError(
                f"the refused rows of run {run_id} are no longer stored: staging was swept after the run had ended "
                "(they stay for ONPOINT_STAGING_TTL_HOURS); crawl again with `onpoint run`"
            ) from error
        raise ClientError(f"refused rows of run {run_id} cannot be shown: {error}") from error
    except OSError as error:
        raise ClientError(
            f"{tempfile.gettempdir()} has no room for a file of {file.bytes:,} bytes: set TMPDIR to another folder "
            f"({error})"
        ) from error


def _lines(file: Path) -> Iterator[bytes]:
    """Raises `ZstdError` for what is not compressed as it should be."""
    with file.open("rb") as packed, zstandard.ZstdDecompressor().stream_reader(packed) as stream:
        text = io.BufferedReader(stream)
        while line := text.readline(MAX_LINE_BYTES):
            yield line.rstrip(b"\n")
            while len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                line = text.readline(MAX_LINE_BYTES)


def _row(file: QuarantineFile, line: bytes) -> QuarantinedRow:
    """A line that cannot be parsed is a row too: nothing of quarantine is left out."""
    found = parse_object(line) or {"raw": line.decode("utf-8", "backslashreplace")}
    position = found.get("source_position")
    return QuarantinedRow(
        dataset=file.dataset,
        stage=file.stage,
        batch_id=file.batch_id,
        position=position if isinstance(position, int) else None,
        reason=str(found.get("reason") or "unknown"),
        detail=str(found.get("detail") or ""),
        url=_text(found.get("url")),
        raw=_text(found.get("raw")),
        raw_base64=_text(found.get("raw_base64")),
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
