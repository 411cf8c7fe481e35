"""Batches as no one would write them: what is accepted, what is refused and why, and that the books balance."""

import base64
import io
import json
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

import pyarrow.parquet as pq
import pytest
import zstandard

from console.verify.source import parse, rows_of
from services.processor.domain.lines import MAX_LINE_BYTES, Chunk
from services.processor.domain.parse import Watch, parse_chunk
from services.processor.domain.parse_schema import parse_schema_of
from services.processor.domain.quarantine import MAX_RAW_BYTES
from services.processor.service import ProcessorService
from services.processor.work import work_on
from shared.datasets.model import Dataset
from shared.datasets.types import NESTED
from shared.events.models import BatchManifest, Counts
from shared.stages.results import Batches
from shared.storage.object_store import open_memory
from shared.transforms.apply import Transformer
from shared.transforms.sandbox import Limits, Sandbox
from tests.support.crawled import put_crawled
from tests.support.datasets import datasets_of
from tests.support.odd_batches.batch import OddBatch
from tests.support.odd_batches.drift import DRIFT
from tests.support.odd_batches.lines import LINES
from tests.support.odd_batches.nested import LISTS_AND_STRUCTS
from tests.support.odd_batches.numbers import NUMBERS
from tests.support.odd_batches.rows import ROWS
from tests.support.odd_batches.texts import TEXTS
from tests.support.odd_batches.times import TIMES
from tests.support.odd_batches.transforms import TRANSFORMS

BATCHES = [*NUMBERS, *LINES, *ROWS, *TEXTS, *TIMES, *LISTS_AND_STRUCTS, *DRIFT, *TRANSFORMS]

Processed = tuple[BatchManifest, list[dict[str, Any]], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


async def processed(dataset: Dataset, lines: list[bytes], sandbox: Sandbox) -> Processed:
    """The manifest, the rows with their positions and no other lineage, and the quarantine."""
    staging = open_memory("staging")
    batches = Batches(staging, "processor")
    work = partial(
        work_on, batches.artifacts, Transformer(Limits(512, 20), b"a secret of the tests", sandbox)
    )
    service = ProcessorService(batches, datasets_of({dataset.name: dataset}), work)
    result = await service.process(await put_crawled(staging, dataset.name, lines))
    files = {a.format: await staging.get(staging.key(a.uri, "")) or b"" for a in result.artifacts}
    names = [column.name for column in dataset.columns]
    rows = pq.read_table(io.BytesIO(files["parquet"])).select([*names, "_source_position"]).to_pylist()
    packed = files.get("quarantine.jsonl.zst", zstandard.compress(b""))
    text = zstandard.ZstdDecompressor().stream_reader(packed).read()
    return result, rows, [json.loads(line) for line in text.splitlines()]


def exact(value: Any) -> Any:
    """Tells apart what `==` does not: 1, 1.0, True and -0.0."""
    match value:
        case dict():
            return {name: exact(part) for name, part in value.items()}
        case list():
            return [exact(part) for part in value]
        case datetime():
            return value.isoformat()
    return repr(value)


def raw_of(line: dict[str, Any]) -> bytes:
    """As the source sent it."""
    raw: str | None = line.get("raw")
    return base64.b64decode(line["raw_base64"]) if raw is None else raw.encode()


def test_each_odd_batch_has_a_name_of_its_own() -> None:
    names = [batch.name for batch in BATCHES]
    assert len(names) == len(set(names)) >= 150


@pytest.mark.parametrize("batch", BATCHES, ids=str)
async def test_an_odd_batch(batch: OddBatch, sandbox: Sandbox) -> None:
    result, rows, quarantine = await processed(batch.dataset, list(batch.lines), sandbox)
    places = [row.pop("_source_position") for row in rows]
    assert exact(rows) == exact(list(batch.rows))
    assert {line["source_position"]: line["reason"] for line in quarantine} == {
        place: refused.reason for place, refused in batch.refused.items()
    }
    for line in quarantine:
        assert batch.refused[line["source_position"]].words in line["detail"]
        assert raw_of(line) == batch.lines[line["source_position"]][:MAX_RAW_BYTES]
    assert result.counts == Counts(
        read=len(batch.lines),
        added=batch.added,
        accepted=len(batch.rows),
        rejected=len(batch.refused),
        deduplicated=batch.deduplicated,
        filtered=batch.filtered,
    )
    counts = result.counts
    assert counts.read + counts.added == (
        counts.accepted + counts.rejected + counts.deduplicated + counts.filtered
    )
    assert sum(result.rejected_by_reason.values()) == counts.rejected == len(quarantine)
    assert (result.absent, result.unnamed) == (batch.absent, batch.unnamed)
    if not rows or batch.dataset.transform:
        return
    lines = [batch.lines[place] for place in places]
    if batch.is_checked and not any(column.value_type.name in NESTED for column in batch.dataset.columns):
        assert rows_of(batch.dataset, [parse(line) for line in lines]).to_dicts() == rows, "by the checker"
    if batch.refused:
        _, alone, _ = await processed(batch.dataset, lines, sandbox)
        for row in alone:
            del row["_source_position"]
        assert exact(alone) == exact(rows), "without the lines that are refused"


@pytest.mark.parametrize("batch", [batch for batch in BATCHES if not batch.dataset.transform], ids=str)
def test_a_line_is_alone_what_it_is_among_others(batch: OddBatch) -> None:
    """Doubtful neighbours send a line the slow way; alone it goes the quick one."""
    schema = parse_schema_of(batch.dataset)
    rows: list[dict[str, Any]] = []
    for place, line in enumerate(batch.lines):
        if len(line) > MAX_LINE_BYTES:
            continue
        watch = Watch(schema, "run-1", "0" * 32)
        [parsed] = parse_chunk(Chunk(0, 1, line + b"\n"), 0, schema, watch)
        expected = batch.refused.get(place)
        assert [found.reason for found in parsed.refused] == ([] if expected is None else [expected.reason])
        rows += parsed.rows.drop_columns(["_source_position"]).to_pylist()
    assert len(rows) == len(batch.rows) + batch.deduplicated
    if not batch.deduplicated:
        assert exact(rows) == exact(list(batch.rows))
