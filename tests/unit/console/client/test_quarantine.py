"""Quarantine as it lies in staging, and whatever else may lie there."""

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import zstandard

from console.client.errors import ClientError
from console.client.ledger import QuarantineFile
from console.client.quarantine import MAX_LINE_BYTES, QuarantinedRow, read_rows
from shared.storage.object_store import ObjectStore, open_folder

RUN = "2026-11-23-daily"
LINE = {
    "source_position": 4,
    "reason": "type",
    "detail": "id: a text where int64 is expected",
    "url": "https://example.org/posts",
    "raw": '{"id": "x"}',
}


@pytest.fixture
def staging(tmp_path: Path) -> ObjectStore:
    return open_folder(tmp_path / "staging")


async def put(staging: ObjectStore, data: bytes, name: str = "q", dataset: str = "posts") -> QuarantineFile:
    key = f"runs/{RUN}/{dataset}/processor/{name}.quarantine.jsonl.zst"
    await staging.put(key, data)
    return QuarantineFile(
        dataset=dataset,
        stage="processor",
        batch_id="b" * 32,
        uri=staging.uri(key),
        rows=1,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def packed(*lines: bytes) -> bytes:
    return zstandard.compress(b"".join(line + b"\n" for line in lines))


async def rows(
    staging: ObjectStore, *files: QuarantineFile, reason: str | None = None
) -> list[QuarantinedRow]:
    async def given() -> AsyncIterator[QuarantineFile]:
        for file in files:
            yield file

    return [row async for row in read_rows(staging, RUN, given(), reason)]


async def test_every_row_of_every_file_is_read_in_order(staging: ObjectStore) -> None:
    lines = [json.dumps(LINE | {"source_position": n}).encode() for n in range(5)]
    files = [
        await put(staging, packed(*lines[:3]), "a"),
        await put(staging, packed(*lines[3:]), "b", "users"),
    ]
    found = await rows(staging, *files)
    assert [(row.dataset, row.position) for row in found] == [
        ("posts", 0), ("posts", 1), ("posts", 2), ("users", 3), ("users", 4),
    ]  # fmt: skip
    assert found[0].document() == {
        "dataset": "posts",
        "stage": "processor",
        "batch_id": "b" * 32,
        **LINE,
        "source_position": 0,
    }


async def test_a_row_that_is_not_text_keeps_its_bytes(staging: ObjectStore) -> None:
    line = {name: value for name, value in LINE.items() if name != "raw"} | {"raw_base64": "/wA="}
    (row,) = await rows(staging, await put(staging, packed(json.dumps(line).encode())))
    assert (row.raw, row.document()["raw_base64"]) == (None, "/wA=")


async def test_only_rows_of_the_wanted_reason_are_shown(staging: ObjectStore) -> None:
    lines = [json.dumps(LINE | {"reason": reason}).encode() for reason in ("type", "fetch", "type")]
    assert len(await rows(staging, await put(staging, packed(*lines)), reason="fetch")) == 1


@pytest.mark.parametrize(
    "line",
    [
        b"no JSON",
        b"[1]",
        b"\xff\xfe",
        b"null",
        b'{"source_position": "x", "reason": null, "raw": 5}',
        b"[" * 5000,
        b"",
    ],
)
async def test_a_line_that_no_service_wrote_is_a_row_all_the_same(staging: ObjectStore, line: bytes) -> None:
    (row,) = await rows(staging, await put(staging, packed(line)))
    assert (row.position, row.reason) == (None, "unknown")


async def test_a_row_of_a_mebibyte_that_json_spelt_out_is_whole_and_a_longer_line_is_cut(
    staging: ObjectStore,
) -> None:
    whole = json.dumps(LINE | {"raw": "\x01" * 2**20}).encode()
    endless = b"x" * (3 * MAX_LINE_BYTES)
    found = await rows(staging, await put(staging, packed(whole, endless, json.dumps(LINE).encode())))
    assert [len(row.raw or "") for row in found] == [2**20, MAX_LINE_BYTES, len(LINE["raw"])]  # type: ignore[arg-type]  # a text


async def test_rows_that_were_swept_are_told_with_what_to_do(staging: ObjectStore) -> None:
    file = await put(staging, packed(b"{}"))
    await staging.delete(staging.key(file.uri, ""))
    with pytest.raises(ClientError, match=r"no longer kept: staging was swept.*ONPOINT_STAGING_TTL_HOURS"):
        await rows(staging, file)


async def test_a_damaged_file_is_told(staging: ObjectStore) -> None:
    with pytest.raises(ClientError, match="is damaged"):
        await rows(staging, await put(staging, b"no zstd at all"))


async def test_a_file_of_another_run_is_not_read(staging: ObjectStore) -> None:
    file = await put(staging, packed(b"{}"))
    foreign = QuarantineFile("users", "processor", "b" * 32, file.uri, 1, file.bytes, file.sha256)
    with pytest.raises(ClientError, match="cannot be shown"):
        await rows(staging, foreign)
