"""The whole processor on an object store in memory."""

import asyncio
import io
import json
from datetime import UTC
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from services.processor.adapters import clean_file, raw_file
from services.processor.service import ProcessorService
from shared.datasets.arrow import clean_schema
from shared.datasets.catalog import Catalog
from shared.errors import PermanentError
from shared.events.models import Artifact, BatchManifest, Counts
from shared.observability.metrics import FIELDS_IGNORED, STAGE_BATCHES, STAGE_ROWS
from shared.parquet.writer import RowGroupLimits
from shared.reasons import Reason
from shared.stages.failures import BatchDeadError, dead_manifest
from shared.stages.results import Batches
from shared.storage import keys
from shared.storage.object_store import ObjectStore, open_memory
from tests.support.counters import gained
from tests.support.crawled import REQUESTED_AT, a_dataset, put_crawled, put_raw
from tests.support.datasets import datasets_of


def a_post(number: int, **more: Any) -> bytes:
    return json.dumps(
        {"id": number, "userId": 1, "title": f"title {number}", "body": "body", **more}
    ).encode()


async def read(staging: ObjectStore, artifact: Artifact) -> bytes:
    data = await staging.get(staging.key(artifact.uri, ""))
    assert data is not None
    return data


async def rows_of(staging: ObjectStore, result: BatchManifest) -> pa.Table:
    assert result.artifacts[0].format == "parquet"
    table = pq.read_table(io.BytesIO(await read(staging, result.artifacts[0])))
    assert table.num_rows == result.artifacts[0].rows == result.counts.accepted
    return table


async def quarantine_of(staging: ObjectStore, result: BatchManifest) -> list[dict[str, Any]]:
    artifact = result.artifacts[1]
    assert artifact.format == "quarantine.jsonl.zst"
    text = zstandard.ZstdDecompressor().stream_reader(await read(staging, artifact)).read().decode()
    lines = [json.loads(line) for line in text.splitlines()]
    assert len(lines) == artifact.rows == result.counts.rejected
    return lines


async def failure_of(service: ProcessorService, crawled: BatchManifest) -> Reason:
    with pytest.raises(PermanentError) as caught:
        await service.process(crawled)
    return caught.value.reason


async def test_records_become_typed_rows_with_their_lineage(
    staging: ObjectStore, service: ProcessorService, catalog: Catalog
) -> None:
    crawled = await put_crawled(staging, "posts", [a_post(1), a_post(2, title=None)], first_position=100)
    result = await service.process(crawled)
    table = await rows_of(staging, result)
    assert table.schema.equals(clean_schema(catalog["posts"]))
    first = table.to_pylist()[0]
    assert first.pop("_requested_at").astimezone(UTC) == REQUESTED_AT
    assert first == {
        "id": 1,
        "user_id": 1,
        "title": "title 1",
        "body": "body",
        "_run_id": "run-1",
        "_batch_id": crawled.batch_id,
        "_source_position": 100,
    }
    assert table.column("title").to_pylist() == ["title 1", None]
    assert result.counts == Counts(read=2, accepted=2)
    assert (result.stage, result.status, result.parent_batch_ids) == (
        "processor",
        "done",
        (crawled.batch_id,),
    )
    assert len(result.artifacts) == 1


async def test_nested_values_get_their_columns(staging: ObjectStore, service: ProcessorService) -> None:
    user = {"id": 1, "name": "n", "address": {"city": "Bern", "geo": {"lat": "-37.3"}}, "company": None}
    result = await service.process(await put_crawled(staging, "users", [json.dumps(user).encode()]))
    (row,) = (await rows_of(staging, result)).to_pylist()
    assert (row["address_city"], row["address_geo_lat"], row["address_geo_lng"]) == ("Bern", "-37.3", None)
    assert row["company_name"] is None


async def test_null_stays_null_and_empty_stays_empty_and_nothing_is_trimmed(
    staging: ObjectStore, service: ProcessorService
) -> None:
    titles = ["", None, "  spaces ", "line\nbreak", "😀 \u200frtl\u200f \u200b", "\\u0000 as text"]
    lines = [a_post(number, title=title) for number, title in enumerate(titles)]
    table = await rows_of(staging, await service.process(await put_crawled(staging, "posts", lines)))
    assert table.column("title").to_pylist() == titles


async def test_of_several_records_with_one_key_the_last_stays(
    staging: ObjectStore, service: ProcessorService
) -> None:
    lines = [a_post(n % 3, title=f"version {n}") for n in range(10)]
    result = await service.process(await put_crawled(staging, "posts", lines))
    assert result.counts == Counts(read=10, accepted=3, deduplicated=7)
    table = await rows_of(staging, result)
    assert table.column("_source_position").to_pylist() == [7, 8, 9]
    assert table.column("title").to_pylist() == ["version 7", "version 8", "version 9"]
    assert len(result.artifacts) == 1


async def test_a_key_of_several_columns_is_compared_whole(staging: ObjectStore, batches: Batches) -> None:
    dataset = a_dataset(
        [{"name": "a", "type": "string"}, {"name": "b", "type": "float64"}, {"name": "n", "type": "int64"}],
        key=["a", "b"],
    )
    service = ProcessorService(batches, datasets_of({"things": dataset}))
    keys_of_lines = [("", 0.0), ("x", 1.0), ("", -0.0), ("x", 2.0), ("x", 1.0)]
    lines = [json.dumps({"a": a, "b": b, "n": n}).encode() for n, (a, b) in enumerate(keys_of_lines)]
    result = await service.process(await put_crawled(staging, "things", lines))
    assert (await rows_of(staging, result)).column("n").to_pylist() == [2, 3, 4]


async def test_a_refused_record_does_not_replace_one_with_its_key(
    staging: ObjectStore, service: ProcessorService
) -> None:
    lines = [a_post(1, title="good"), a_post(1, title=5)]
    result = await service.process(await put_crawled(staging, "posts", lines))
    assert result.counts == Counts(read=2, accepted=1, rejected=1)
    assert (await rows_of(staging, result)).column("title").to_pylist() == ["good"]


async def test_every_reason_to_refuse_a_record(staging: ObjectStore, service: ProcessorService) -> None:
    lines = {
        b"null": "fetch",
        b"null ": "empty",
        b'{"id":1,': "decode",
        b"": "decode",
        b'{"id":1,"title":NaN}': "decode",
        b"[1]": "type",
        b'{"id":"1"}': "type",
        b'{"id":1.5}': "type",
        b'{"id":true}': "type",
        b'{"id":1,"title":1}': "type",
        b'{"id":9223372036854775808}': "range",
        b'{"title":"t"}': "no_key",
        b'{"id":null}': "no_key",
        b'{"id":1,"title":"\\u0000"}': "nul",
        b'{"id":1,"title":"\\ud800"}': "encoding",
        b'{"id":1,"title":"\xff"}': "encoding",
    }
    requests = [
        {"place": 0, "rows": 1, "url": "http://s/0", "status": None, "reason": "fetch", "detail": "timeout"},
        {
            "place": 1,
            "rows": len(lines) - 1,
            "url": "http://s/1",
            "status": 200,
            "reason": None,
            "detail": None,
        },
    ]
    crawled = await put_crawled(staging, "posts", [*lines, a_post(7)], requests=requests, first_position=50)
    result = await service.process(crawled)
    assert result.counts == Counts(read=len(lines) + 1, accepted=1, rejected=len(lines))
    quarantine = await quarantine_of(staging, result)
    assert [line["reason"] for line in quarantine] == list(lines.values())
    assert [line["source_position"] for line in quarantine] == list(range(50, 50 + len(lines)))
    assert [line["url"] for line in quarantine] == ["http://s/0"] + ["http://s/1"] * (len(lines) - 1)
    assert quarantine[0]["detail"] == "timeout"


async def test_an_empty_text_is_a_key(staging: ObjectStore, batches: Batches) -> None:
    dataset = a_dataset([{"name": "code", "type": "string"}], key=["code"])
    service = ProcessorService(batches, datasets_of({"things": dataset}))
    result = await service.process(await put_crawled(staging, "things", [b'{"code":""}']))
    assert result.counts.accepted == 1


async def test_a_fill_value_replaces_null_and_missing_but_saves_no_key(
    staging: ObjectStore, batches: Batches
) -> None:
    dataset = a_dataset(
        [{"name": "id", "type": "int64", "fill": 1}, {"name": "note", "type": "string", "fill": "none"}],
        key=["id"],
    )
    service = ProcessorService(batches, datasets_of({"things": dataset}))
    lines = [b'{"id":1,"note":null}', b'{"id":2}', b'{"id":3,"note":""}', b'{"id":null}']
    result = await service.process(await put_crawled(staging, "things", lines))
    assert (await rows_of(staging, result)).column("note").to_pylist() == ["none", "none", ""]
    assert [line["reason"] for line in await quarantine_of(staging, result)] == ["no_key"]


async def test_a_batch_of_which_all_is_refused_is_done_with_no_rows(
    staging: ObjectStore, service: ProcessorService, catalog: Catalog
) -> None:
    result = await service.process(await put_crawled(staging, "posts", [b"null"] * 1000))
    assert result.counts == Counts(read=1000, rejected=1000)
    table = await rows_of(staging, result)
    assert table.num_rows == 0
    assert table.schema.equals(clean_schema(catalog["posts"]))
    assert len(await quarantine_of(staging, result)) == 1000


async def test_a_batch_without_lines_is_done_with_no_rows(
    staging: ObjectStore, service: ProcessorService
) -> None:
    result = await service.process(await put_crawled(staging, "posts", [], requests=[]))
    assert result.counts == Counts()
    assert (await rows_of(staging, result)).num_rows == 0
    assert len(result.artifacts) == 1


async def test_fields_without_a_column_are_ignored_and_counted(
    staging: ObjectStore, service: ProcessorService
) -> None:
    before = FIELDS_IGNORED.labels("posts")._value.get()  # noqa: SLF001 - prometheus has no other way to read it
    lines = [a_post(n, tags=["a"], extra={"deep": n}, gone=None) for n in range(1000)]
    await service.process(await put_crawled(staging, "posts", lines))
    assert FIELDS_IGNORED.labels("posts")._value.get() - before == 2000  # noqa: SLF001 - as above


async def test_many_rows_go_through_several_chunks_and_row_groups(
    staging: ObjectStore, service: ProcessorService
) -> None:
    count = 250_000
    raw = b"".join(
        b'{"userId":1,"id":%d,"title":"a title that is long enough"}\n' % (n % 249_000) for n in range(count)
    )
    crawled = await put_raw(staging, "posts", zstandard.compress(raw), rows=count)
    result = await service.process(crawled)
    assert result.counts == Counts(read=count, accepted=249_000, deduplicated=1000)
    file = pq.ParquetFile(io.BytesIO(await read(staging, result.artifacts[0])))
    groups = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    assert groups == [50_000, 50_000, 50_000, 50_000, 49_000]
    positions = file.read(columns=["_source_position", "id"])
    assert positions.column("_source_position").to_pylist() == list(range(1000, count))


async def test_the_parquet_is_what_spark_and_people_expect(
    staging: ObjectStore, service: ProcessorService
) -> None:
    lines = [a_post(n, userId=n % 3, body=f"unique {n}") for n in range(500)]
    result = await service.process(await put_crawled(staging, "posts", lines))
    file = pq.ParquetFile(io.BytesIO(await read(staging, result.artifacts[0])))
    group = file.metadata.row_group(0)
    chunks = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
    assert {chunk.compression for chunk in chunks.values()} == {"SNAPPY"}
    assert all(chunk.statistics is not None for chunk in chunks.values())
    identity = chunks["id"].statistics
    assert identity is not None
    assert identity.max == 499
    assert "RLE_DICTIONARY" in chunks["_run_id"].encodings
    assert "RLE_DICTIONARY" in chunks["user_id"].encodings
    assert "RLE_DICTIONARY" not in chunks["body"].encodings
    assert str(file.schema.column(file.schema.names.index("_requested_at")).logical_type).startswith(
        "Timestamp(isAdj"
    )


async def test_the_same_manifest_gives_the_same_bytes(catalog: Catalog) -> None:
    lines = [a_post(n % 900, title=None if n % 7 else "seventh") for n in range(1000)] + [b"null", b"{"]
    hashes = set()
    for _ in range(2):
        staging = open_memory("staging")
        crawled = await put_crawled(
            staging, "posts", lines, requests=[{"place": 0, "rows": 1002, "url": "u"}]
        )
        result = await ProcessorService(Batches(staging, "processor"), datasets_of(catalog)).process(crawled)
        hashes.add(tuple(artifact.sha256 for artifact in result.artifacts))
    assert len(hashes) == 1


async def test_a_batch_that_comes_again_is_not_done_again(
    staging: ObjectStore, service: ProcessorService
) -> None:
    crawled = await put_crawled(staging, "posts", [a_post(1)])
    first = await service.process(crawled)
    await staging.delete(staging.key(crawled.artifacts[0].uri, ""))
    assert await service.process(crawled) == first


async def test_of_several_replicas_with_one_batch_all_publish_the_same_and_one_counts_it(
    staging: ObjectStore, catalog: Catalog
) -> None:
    crawled = await put_crawled(staging, "posts", [a_post(n) for n in range(100)])
    replicas = [ProcessorService(Batches(staging, "processor"), datasets_of(catalog)) for _ in range(3)]
    with gained(STAGE_BATCHES) as counted, gained(STAGE_ROWS) as rows:
        results = await asyncio.gather(*(replica.process(crawled) for replica in replicas))
    assert results[0] == results[1] == results[2]
    assert counted == {("processor", "posts", "done"): 1}
    assert rows == {("processor", "posts", "read"): 100, ("processor", "posts", "accepted"): 100}


async def test_a_dead_batch_stays_dead(
    staging: ObjectStore, service: ProcessorService, batches: Batches
) -> None:
    crawled = await put_crawled(staging, "posts", [a_post(1)])
    await batches.commit(dead_manifest(crawled, "processor", PermanentError(Reason.CHECKSUM, "broken")))
    with pytest.raises(BatchDeadError) as caught:
        await service.process(crawled)
    assert caught.value.reason == Reason.CHECKSUM


async def test_a_cancelled_run_s_batches_end(staging: ObjectStore, service: ProcessorService) -> None:
    crawled = await put_crawled(staging, "posts", [a_post(1)])
    await staging.put(keys.cancel_key("run-1"), b"")
    assert await failure_of(service, crawled) == Reason.CANCELLED


async def test_an_unknown_dataset_is_refused(staging: ObjectStore, service: ProcessorService) -> None:
    assert await failure_of(service, await put_crawled(staging, "unknown", [b"{}"])) == Reason.SCHEMA


@pytest.mark.parametrize(
    "wrong",
    [
        {"stage": "processor"},
        {"status": "dead"},
        {"artifacts": ()},
        {"counts": Counts(read=7)},
        {"first_position": 2**63 - 1},
    ],
)
async def test_a_manifest_that_is_not_a_crawled_batch_is_refused(
    staging: ObjectStore, service: ProcessorService, wrong: dict[str, Any]
) -> None:
    crawled = await put_crawled(staging, "posts", [a_post(1), a_post(2)])
    assert await failure_of(service, crawled.model_copy(update=wrong)) in {Reason.SCHEMA, Reason.RANGE}


@pytest.mark.parametrize(
    "uri",
    [
        "memory://other/runs/run-1/posts/crawler/x.jsonl.zst",
        "s3://staging/runs/run-1/posts/crawler/x.jsonl.zst",
        "memory://staging/runs/run-2/posts/crawler/x.jsonl.zst",
        "memory://staging/runs/run-1/posts/../../secret",
        "/etc/passwd",
    ],
)
async def test_an_artifact_of_another_bucket_or_run_is_not_read(
    staging: ObjectStore, service: ProcessorService, uri: str
) -> None:
    crawled = await put_crawled(staging, "posts", [a_post(1)])
    foreign = crawled.artifacts[0].model_copy(update={"uri": uri})
    assert await failure_of(service, crawled.model_copy(update={"artifacts": (foreign,)})) == Reason.SCHEMA


@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped", "replaced"])
async def test_a_damaged_artifact_is_never_used(
    staging: ObjectStore, service: ProcessorService, damage: str
) -> None:
    crawled = await put_crawled(staging, "posts", [a_post(1)])
    artifact = crawled.artifacts[0]
    key, data = staging.key(artifact.uri, ""), await read(staging, artifact)
    flipped = data[:-1] + bytes([data[-1] ^ 1])
    if damage == "missing":
        await staging.delete(key)
    else:
        await staging.put(key, {"truncated": data[:-1], "flipped": flipped, "replaced": b""}[damage])
    expected = Reason.OBJECT_MISSING if damage == "missing" else Reason.CHECKSUM
    assert await failure_of(service, crawled) == expected


@pytest.mark.parametrize("rows", [0, 1, 3, 1000])
async def test_more_or_fewer_lines_than_promised_are_refused(
    staging: ObjectStore, service: ProcessorService, rows: int
) -> None:
    crawled = await put_crawled(staging, "posts", [a_post(1), a_post(2)], rows=rows)
    assert await failure_of(service, crawled) == Reason.CHECKSUM


async def test_what_is_not_zstd_is_refused(staging: ObjectStore, service: ProcessorService) -> None:
    assert await failure_of(service, await put_raw(staging, "posts", b"{}\n", rows=1)) == Reason.DECODE


async def test_a_stream_that_ends_early_is_refused(staging: ObjectStore, service: ProcessorService) -> None:
    raw = zstandard.compress(b"".join(a_post(n) + b"\n" for n in range(10_000)))
    assert (
        await failure_of(service, await put_raw(staging, "posts", raw[:-100], rows=10_000)) == Reason.CHECKSUM
    )


async def test_a_requests_log_that_cannot_be_read_is_refused(
    staging: ObjectStore, service: ProcessorService
) -> None:
    crawled = await put_raw(
        staging,
        "posts",
        zstandard.compress(a_post(1) + b"\n"),
        rows=1,
        requests=zstandard.compress(b"garbage"),
    )
    assert await failure_of(service, crawled) == Reason.SCHEMA


async def test_a_decompression_bomb_is_defused(
    staging: ObjectStore, service: ProcessorService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_file, "FREE_INFLATED_BYTES", 2**20)
    crawled = await put_raw(staging, "posts", zstandard.compress(b" " * 64 * 2**20), rows=1)
    assert await failure_of(service, crawled) == Reason.TOO_LARGE


async def test_a_line_that_is_too_long_is_one_refused_row(
    staging: ObjectStore, service: ProcessorService
) -> None:
    long = b'{"id":1,"body":"' + b"x" * (64 * 2**20) + b'"}'
    result = await service.process(await put_crawled(staging, "posts", [a_post(0), long, a_post(2)]))
    assert result.counts == Counts(read=3, accepted=2, rejected=1)
    (line,) = await quarantine_of(staging, result)
    assert (line["source_position"], line["reason"], len(line["raw"])) == (1, "too_large", 2**20)
    assert str(len(long)) in line["detail"]


async def test_a_line_of_many_megabytes_is_a_row(staging: ObjectStore, service: ProcessorService) -> None:
    body = "y" * (20 * 2**20)
    result = await service.process(
        await put_crawled(staging, "posts", [a_post(0), a_post(1, body=body), a_post(2)])
    )
    assert (await rows_of(staging, result)).column("body").to_pylist() == ["body", body, "body"]


async def test_row_groups_are_bounded_by_their_bytes_too(
    staging: ObjectStore, service: ProcessorService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clean_file, "ROW_GROUPS", RowGroupLimits(rows=50_000, size_bytes=100_000))
    monkeypatch.setattr(raw_file, "BLOCK_BYTES", 10_000)
    lines = [a_post(n, body="z" * 1000) for n in range(1000)]
    result = await service.process(await put_crawled(staging, "posts", lines))
    file = pq.ParquetFile(io.BytesIO(await read(staging, result.artifacts[0])))
    assert file.num_row_groups > 1
    assert file.read().num_rows == 1000


async def test_of_the_deduplicated_rows_those_equal_to_the_last_are_counted(
    staging: ObjectStore, service: ProcessorService
) -> None:
    rows = [(1, "a"), (2, "b"), (1, "a"), (1, "a"), (2, "c"), (3, None), (3, None), (2, "b"), (4, "d")]
    lines = [a_post(number, title=title) for number, title in rows]
    result = await service.process(await put_crawled(staging, "posts", lines))
    # Of 1 twice; of 2 the first, which is as the last, and not the one between; of 3 once.
    assert (result.counts.deduplicated, result.repeated) == (5, 4)
