"""`onpoint datasets preview`: what a dataset's file makes of records that a run has stored."""

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from console.cli import environment
from console.cli.errors import CommandError, WrongUseError
from console.client.ledger import open_ledger
from console.formatting import did_you_mean, printable
from shared.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from services.processor.adapters.preview import PreviewedLine
    from shared.datasets.model import Dataset
    from shared.events.models import BatchManifest
    from shared.storage.object_store import ObjectStore

RUNS_LOOKED_AT = 100
"""For the latest that crawled the dataset."""

SHOWN_CHARS = 2_000
"""Of a line, for people."""


def preview(name: str, run_id: str | None, rows: int) -> dict[str, Any]:
    """The first lines of the run's first batch with some, by today's file.

    Raises `CommandError` where there is no such run, or nothing of it is left.
    """
    catalog = environment.catalog()
    dataset = catalog.get(name)
    if dataset is None:
        why = catalog.why_refused(name)
        raise WrongUseError(
            why if why is not None else f"there is no dataset {name}{did_you_mean(name, catalog)}"
        )
    try:
        return asyncio.run(_preview(dataset, run_id, rows))
    except (TransientError, PermanentError) as error:
        raise CommandError(f"{name} cannot be previewed: {error}") from error


def lines_of(document: dict[str, Any]) -> Iterator[str]:
    """For people: each line, and under it what it becomes."""
    yield f"{document['dataset']}: {len(document['lines'])} lines of run {document['run_id']}, by the file of today"
    for line in document["lines"]:
        yield ""
        yield f"line {line['position']}"
        yield _shown("raw", line["raw"])
        if line["typed"] is not None:
            yield _shown("typed", line["typed"])
        for row in line["rows"]:
            yield _shown("row", row)
        if line["refused"] is not None:
            yield _shown("refused", f"{line['refused']['reason']}: {line['refused']['detail']}")
        elif not line["rows"]:
            yield "  filtered"


def _shown(what: str, value: Any) -> str:
    text = printable(value if isinstance(value, str) else ", ".join(f"{k}={v!r}" for k, v in value.items()))
    return f"  {what:<8} {text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + '…'}"


async def _preview(dataset: "Dataset", run_id: str | None, rows: int) -> dict[str, Any]:
    from shared.datasets.chain import ColumnsChain
    from shared.datasets.versions import columns_at

    staging = environment.staging()
    found = await _batch(staging, run_id or await _latest(dataset.name), dataset.name)
    versions = await ColumnsChain(staging).all(dataset.name)
    dataset = columns_at(dataset, versions[-1] if versions else None)
    with tempfile.TemporaryDirectory(prefix="onpoint-") as name:
        folder = Path(name)
        lines = await _raw(staging, found, folder, rows)
        previewed = await asyncio.to_thread(_previewed, folder, found, dataset, lines)
    return {
        "dataset": dataset.name,
        "run_id": found.run_id,
        "batch_id": found.batch_id,
        "lines": [_document(line) for line in previewed],
    }


def _previewed(
    folder: Path, batch: "BatchManifest", dataset: "Dataset", lines: Sequence[bytes]
) -> "list[PreviewedLine]":
    from services.processor.adapters.preview import preview_lines
    from shared.settings.masks import MaskSettings
    from shared.transforms.apply import Transformer

    secret = environment.settings(MaskSettings).mask_key()
    transformer = Transformer(secret=secret)
    with transformer.sandbox:
        return preview_lines(folder, batch, dataset, lines, transformer)


async def _latest(name: str) -> str:
    async with open_ledger(environment.ledger_dsn()) as ledger:
        for run in await ledger.runs(RUNS_LOOKED_AT):
            if name in run.datasets and run.is_taken_up:
                return run.run_id
    raise CommandError(f"no run has crawled {name} yet: `onpoint run {name}` does")


async def _batch(staging: "ObjectStore", run_id: str, name: str) -> "BatchManifest":
    """The first of the run's crawled batches that has lines."""
    from shared.events.decode import decode_event
    from shared.events.models import BatchManifest
    from shared.storage import keys

    crawled = [
        decode_event(BatchManifest, text)
        async for info in staging.list(keys.stage_prefix(run_id, name, "crawler"))
        if info.key.endswith(".json") and (text := await staging.get(info.key)) is not None
    ]
    with_lines = [batch for batch in crawled if batch.status == "done" and batch.counts.read]
    if not with_lines:
        raise CommandError(
            f"run {run_id} has no stored lines of {name}: they are kept as long as staging is, and a replay has none"
        )
    return min(with_lines, key=lambda batch: batch.sequence)


async def _raw(staging: "ObjectStore", batch: "BatchManifest", folder: Path, rows: int) -> list[bytes]:
    from services.processor.adapters.raw_file import inflate
    from services.processor.engine import RAW_FORMAT
    from shared.stages.artifacts import Artifacts

    raw = next((artifact for artifact in batch.artifacts if artifact.format == RAW_FORMAT), None)
    if raw is None:
        raise CommandError(f"run {batch.run_id} is a replay, and has no stored lines of {batch.dataset}")
    await Artifacts(staging, "processor").fetch(batch, raw, folder / RAW_FORMAT)
    lines: list[bytes] = []
    rest = b""
    for block in inflate(folder / RAW_FORMAT):
        *whole, rest = (rest + block).split(b"\n")
        lines += whole
        if len(lines) >= rows:
            return lines[:rows]
    return [*lines, *([rest] if rest else [])]


def _document(line: "PreviewedLine") -> dict[str, Any]:
    refused = None if line.reason is None else {"reason": line.reason, "detail": line.detail}
    return {
        "position": line.position,
        "raw": line.raw.decode("utf-8", "replace"),
        "typed": None if line.typed is None else _values(line.typed),
        "rows": [_values(row) for row in line.rows],
        "refused": refused,
        "filtered": refused is None and not line.rows,
    }


def _values(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value if isinstance(value, str | int | float | bool | None) else str(value)
