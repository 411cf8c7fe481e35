"""Batches that a replay copied from another run's processor: their lineage is rewritten, they are not parsed again."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.processor.adapters import clean_file
from services.processor.service import ProcessorService
from shared.datasets.catalog import Catalog
from shared.errors import PermanentError
from shared.events.models import BatchManifest, Counts
from shared.parquet.writer import RowGroupLimits
from shared.reasons import Reason
from shared.stages.results import Batches
from shared.storage import keys
from shared.storage.object_store import ObjectStore
from tests.support.crawled import LATER, REQUESTED_AT, copy_batch, put_crawled


def a_post(number: int) -> bytes:
    return json.dumps({"id": number, "userId": 1, "title": f"title {number}", "body": None}).encode()


LINES = [*(a_post(number) for number in range(50)), b"null", a_post(3)]


@pytest.fixture
async def old(staging: ObjectStore, service: ProcessorService) -> BatchManifest:
    return await service.process(await put_crawled(staging, "posts", LINES, first_position=7))


async def table_of(staging: ObjectStore, manifest: BatchManifest) -> pa.Table:
    data = await staging.get(staging.key(manifest.artifacts[0].uri, ""))
    assert data is not None
    return pq.read_table(io.BytesIO(data))


async def failure_of(service: ProcessorService, crawled: BatchManifest) -> Reason:
    with pytest.raises(PermanentError) as caught:
        await service.process(crawled)
    return caught.value.reason


async def test_the_rows_are_the_same_and_their_lineage_is_the_new_runs(
    staging: ObjectStore, service: ProcessorService, old: BatchManifest
) -> None:
    result = await service.process(await copy_batch(staging, old))
    assert (result.run_id, result.status, result.first_position) == ("run-2", "done", 7)
    assert result.counts == old.counts == Counts(read=52, accepted=50, rejected=1, deduplicated=1)
    before, after = await table_of(staging, old), await table_of(staging, result)
    lineage = ["_run_id", "_batch_id", "_requested_at"]
    assert after.schema == before.schema
    assert after.drop_columns(lineage) == before.drop_columns(lineage)
    assert (
        after.select(lineage).to_pylist()
        == [{"_run_id": "run-2", "_batch_id": result.batch_id, "_requested_at": LATER}] * 50
    )
    assert result.artifacts[1].sha256 == old.artifacts[1].sha256
    assert all("/runs/run-2/posts/processor/" in artifact.uri for artifact in result.artifacts)


async def test_why_rows_were_refused_and_what_was_absent_is_copied(
    staging: ObjectStore, service: ProcessorService
) -> None:
    lines = [b'{"id":1,"user":1}', b"null", b'{"id":"x"}', b'{"id":"y"}']
    old = await service.process(await put_crawled(staging, "posts", lines))
    result = await service.process(await copy_batch(staging, old))
    assert result.rejected_by_reason == old.rejected_by_reason == {"empty": 1, "type": 2}
    assert result.absent == old.absent == ("user_id", "title", "body")
    assert result.unnamed == old.unnamed == ("user",)


async def test_a_batch_whose_lineage_is_rewritten_back_has_the_bytes_it_had(
    staging: ObjectStore, service: ProcessorService, old: BatchManifest
) -> None:
    there = await service.process(await copy_batch(staging, old))
    back = await copy_batch(staging, there, "run-1")
    await staging.delete(keys.manifest_key("run-1", "posts", "processor", old.batch_id))
    again = await service.process(back.model_copy(update={"requested_at": REQUESTED_AT}))
    assert again.artifacts == old.artifacts


async def test_a_batch_without_rows_is_done_without_rows(
    staging: ObjectStore, service: ProcessorService
) -> None:
    empty = await service.process(await put_crawled(staging, "posts", []))
    result = await service.process(await copy_batch(staging, empty))
    assert (result.status, result.counts, len(result.artifacts)) == ("done", Counts(), 1)


async def test_many_rows_keep_their_order_and_row_groups(
    staging: ObjectStore, service: ProcessorService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clean_file, "ROW_GROUPS", RowGroupLimits(rows=1000, size_bytes=2**30))
    monkeypatch.setattr(clean_file, "READ_ROWS", 300)
    old = await service.process(await put_crawled(staging, "posts", [a_post(n) for n in range(2500)]))
    result = await service.process(await copy_batch(staging, old))
    assert (await table_of(staging, result)).column("id").to_pylist() == list(range(2500))
    data = await staging.get(staging.key(result.artifacts[0].uri, ""))
    assert pq.ParquetFile(io.BytesIO(data or b"")).metadata.num_row_groups == 3


async def test_a_column_that_the_dataset_gained_since_is_null(
    staging: ObjectStore, service: ProcessorService, old: BatchManifest, tmp_path: Path, catalog: Catalog
) -> None:
    narrow = (await table_of(staging, old)).drop_columns(["body"])
    pq.write_table(narrow, tmp_path / "narrow")
    artifact = await Batches(staging, "crawler").artifacts.put(
        "run-2", "posts", tmp_path / "narrow", extension="parquet", rows=50
    )
    crawled = await copy_batch(staging, old)
    crawled = crawled.model_copy(update={"artifacts": (artifact, crawled.artifacts[1])})
    table = await table_of(staging, await service.process(crawled))
    assert table.column("body").null_count == 50
    assert [column.name for column in catalog["posts"].columns] == table.column_names[:4]


async def test_a_manifest_that_does_not_add_up_is_refused(
    staging: ObjectStore, service: ProcessorService, old: BatchManifest
) -> None:
    good = await copy_batch(staging, old)
    clean, quarantine = good.artifacts
    for changes in (
        {"counts": Counts(read=53, accepted=50, rejected=1, deduplicated=1)},
        {"counts": Counts(read=52, accepted=49, rejected=2, deduplicated=1)},
        {"artifacts": (clean,)},
        {"artifacts": (clean, clean)},
        {"artifacts": (clean, quarantine, clean.model_copy(update={"format": "jsonl.zst"}))},
    ):
        assert await failure_of(service, good.model_copy(update=changes)) is Reason.SCHEMA
    assert (await service.process(good)).status == "done"


async def test_a_copy_that_is_gone_or_altered_is_never_used(
    staging: ObjectStore, service: ProcessorService, old: BatchManifest
) -> None:
    crawled = await copy_batch(staging, old)
    key = staging.key(crawled.artifacts[0].uri, "")
    data = bytearray(await staging.get(key) or b"")
    data[40] ^= 1
    await staging.put(key, bytes(data))
    assert await failure_of(service, crawled) is Reason.CHECKSUM
    await staging.delete(key)
    assert await failure_of(service, crawled) is Reason.OBJECT_MISSING
