import hashlib
import io
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from console.client.dead_letters.artifact import MAX_LINE_BYTES, preview, read_manifest
from shared.events.decode import encode
from shared.events.ids import batch_id
from shared.events.models import Artifact, BatchManifest
from shared.storage.object_store import ObjectStore, open_memory

PREFIX = "runs/r1/posts/processor/"


async def stored(staging: ObjectStore, data: bytes, kind: str, *, key: str = "", **changes: Any) -> Artifact:
    sha256 = hashlib.sha256(data).hexdigest()
    key = key or f"{PREFIX}{sha256}.{kind}"
    await staging.put(key, data)
    values: dict[str, Any] = {
        "uri": staging.uri(key),
        "format": kind,
        "rows": 3,
        "bytes": len(data),
        "sha256": sha256,
    }
    return Artifact(**(values | changes))


def manifest(*artifacts: Artifact) -> BatchManifest:
    now = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
    return BatchManifest(
        run_id="r1",
        dataset="posts",
        batch_id=batch_id("r1", "posts", 0),
        sequence=0,
        stage="processor",
        requested_at=now,
        produced_at=now,
        artifacts=artifacts,
        code_version="test",
    )


def parquet(rows: list[dict[str, Any]]) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), target)
    return target.getvalue()


ROWS = [{"id": n, "title": f"t{n}", "none": None} for n in range(3)]


async def test_the_first_rows_of_parquet_are_shown() -> None:
    staging = open_memory()
    (found,) = await preview(staging, manifest(await stored(staging, parquet(ROWS), "parquet")), 2)

    assert found.rows == tuple(ROWS[:2])
    assert found.problem is None


async def test_the_first_lines_of_crawled_records_are_shown_as_they_are() -> None:
    staging = open_memory()
    long = b'"' + b"x" * (2 * MAX_LINE_BYTES) + b'"'
    lines = b"\n".join([b'{"id":1}', b"null", b"no json \xff", long, b'{"id":2}', b'{"id":3}'])
    artifact = await stored(staging, zstandard.compress(lines), "jsonl.zst")
    (found,) = await preview(staging, manifest(artifact), 5)

    assert found.rows[:3] == ({"id": 1}, None, "no json \ufffd")
    assert len(found.rows[3]) == MAX_LINE_BYTES
    assert found.rows[4] == {"id": 2}


async def test_only_files_of_records_are_shown() -> None:
    staging = open_memory()
    clean = await stored(staging, parquet(ROWS), "parquet")
    other = await stored(staging, b"x", "quarantine.jsonl.zst")

    assert [found.artifact for found in await preview(staging, manifest(clean, other), 1)] == [clean]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"sha256": "0" * 64}, "SHA-256"),
        ({"bytes": 1}, "its manifest says 1"),
        ({"uri": "memory://memory/runs/other/posts/processor/x.parquet"}, "is not below"),
        ({"uri": "s3://elsewhere/x.parquet"}, "is not below"),
        ({"uri": f"memory://memory/{PREFIX}{'0' * 64}.parquet"}, "is not there"),
    ],
)
async def test_what_differs_from_its_manifest_is_not_shown(changes: dict[str, Any], problem: str) -> None:
    staging = open_memory()
    artifact = await stored(staging, parquet(ROWS), "parquet", **changes)
    (found,) = await preview(staging, manifest(artifact), 3)

    assert found.rows == ()
    assert problem in str(found.problem)


@pytest.mark.parametrize("kind", ["parquet", "jsonl.zst"])
async def test_what_cannot_be_decoded_is_told(kind: str) -> None:
    staging = open_memory()
    (found,) = await preview(staging, manifest(await stored(staging, b"garbage", kind)), 3)

    assert "cannot be decoded" in str(found.problem)


def test_only_a_manifest_is_read_as_one() -> None:
    whole = manifest()

    assert read_manifest(encode(whole)) == whole
    assert [read_manifest(value) for value in (None, b"", b"{", b"[]", b'{"run_id":"r1"}')] == [None] * 5
