"""Which version of its dataset's columns a batch is processed by, and the next version where none is enough."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.processor.adapters.raw_file import inflate
from services.processor.domain.fields import FieldsSeen
from services.processor.domain.lines import Chunk, cut_lines
from shared import crashpoints
from shared.datasets.chain import ColumnsChain
from shared.datasets.model import Dataset
from shared.datasets.seen import Seen
from shared.datasets.versions import FILE, Cause, ColumnsVersion, columns_at, settle
from shared.events.models import BatchManifest
from shared.observability.logging import get_logger

NAMED = 10
"""Fields in a sentence."""

MAX_NAME_CHARS = 100

log = get_logger()


@dataclass(frozen=True, slots=True)
class BatchColumns:
    dataset: Dataset
    """With the columns of the version."""
    version: int
    is_own: bool = False
    """Whether the version was made for the batch."""
    remarks: tuple[str, ...] = ()
    """What is new by this batch, and what no column is made for; a sentence each."""


async def columns_of(
    chain: ColumnsChain, raw: Path, crawled: BatchManifest, dataset: Dataset
) -> BatchColumns:
    """Idempotent: the same batch has the same version, whatever was added since, and on whichever machine.

    Where the columns may change, every line is looked at before it is parsed. Raises `TransientError` in an outage.
    """
    if dataset.contract.is_fixed:
        return BatchColumns(dataset, FILE)
    fields = await asyncio.to_thread(_fields_of, raw, dataset)
    while True:
        cause = Cause(crawled.run_id, crawled.batch_id, crawled.produced_at)
        versions = await chain.all(dataset.name)
        settled = settle(dataset, versions, fields, cause)
        version = settled.version
        if version is None or not settled.is_new:
            break
        if await chain.append(version):
            crashpoints.reach("processor.columns")
            log.info(
                "columns_version_made", version=version.version, columns=_news(version, dataset, versions)
            )
    if version is None:
        return BatchColumns(dataset, FILE, remarks=tuple(_remarks(settled.ignored)))
    remarks = [*_remarks(settled.ignored)]
    is_own = version.batch_id == crawled.batch_id
    if is_own:
        before = versions[: version.version - FILE - 1]
        remarks.insert(0, f"version {version.version} of its columns: {_news(version, dataset, before)}")
    return BatchColumns(columns_at(dataset, version), version.version, is_own, tuple(remarks))


def _fields_of(raw: Path, dataset: Dataset) -> dict[str, Seen]:
    """Of fields that the file reads, only those whose column may become wider."""
    named = {column.path[0] for column in dataset.read_columns}
    seen = FieldsSeen(named if dataset.contract.types == "strict" else ())
    for piece in cut_lines(inflate(raw)):
        if isinstance(piece, Chunk):
            seen.look(piece.data)
    return seen.found()


def _news(version: ColumnsVersion, dataset: Dataset, before: list[ColumnsVersion]) -> str:
    """What the version has that the one before it had not."""
    old = {c.name: c for c in columns_at(dataset, before[-1] if before else None).columns}
    found = columns_at(dataset, version).columns
    news = [f"{c.name} ({c.type}) is added" for c in found if c.name not in old]
    news += [f"{c.name} becomes {c.type}" for c in found if c.name in old and c.type != old[c.name].type]
    news += [
        f"{c.name} takes every value"
        for c in found
        if c.name in old and c.type == old[c.name].type and c.from_any and not old[c.name].from_any
    ]
    more = f" and {len(news) - NAMED} more" if len(news) > NAMED else ""
    return ", ".join(news[:NAMED]) + more


def _remarks(ignored: Mapping[str, str]) -> Iterator[str]:
    by_reason: dict[str, list[str]] = {}
    for name, reason in ignored.items():
        by_reason.setdefault(reason, []).append(name)
    for reason, names in by_reason.items():
        shown = ", ".join(_printable(name[:MAX_NAME_CHARS]) for name in names[:NAMED])
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        yield f"left out: {shown}{more}: {reason}"


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
