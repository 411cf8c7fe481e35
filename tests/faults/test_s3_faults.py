"""Every call to S3 under every fault: what is stored and read is right, nothing is left half done, the first wins.

Each fault outlasts the client's own retries, so that the call fails and is made again, as the bus does.
"""

import asyncio
import hashlib
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from shared.settings.object_store import ObjectStoreSettings
from shared.storage import object_store
from shared.storage.errors import ChecksumError, StorageUnavailableError
from shared.storage.object_store import ObjectStore, open_s3
from shared.sweep.uploads import S3Uploads
from tests.support.s3_faults import CALLS, FAULTS, Call, Fault, S3FaultProxy

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

FAULTS_IN_A_ROW = 5
"""The client tries four times by itself."""
CALL_TIMEOUT = timedelta(seconds=1.5)
"""Instead of a minute: a request that hangs or drips times out sooner, by the same code."""
TRIES = 6

CORRUPT = {("Get", "200 with an error")}
"""Wrong bytes with a good status: read again, but what stays wrong is the object's fault (`checksum`)."""

UNKNOWN_UPLOADS = {("CreateMultipartUpload", "reply lost"), ("CreateMultipartUpload", "truncated")}
"""S3 has begun an upload whose id the client never received: the sweep aborts it."""

SIZES = {
    "Put": (1_000, 4 * 2**20),
    "Get": (1_000, 4 * 2**20),
    "CreateMultipartUpload": (9 * 2**20, 20 * 2**20),
    "UploadPart": (9 * 2**20, 20 * 2**20),
    "CompleteMultipartUpload": (9 * 2**20, 20 * 2**20),
}
"""Bytes: above 8 MiB an upload has parts."""


@pytest.fixture
async def proxy(s3_environment: dict[str, str]) -> AsyncIterator[S3FaultProxy]:
    async with S3FaultProxy(s3_environment["ONPOINT_S3_ENDPOINT_URL"]) as proxy:
        yield proxy


@pytest.fixture
def store(
    proxy: S3FaultProxy, s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[ObjectStore]:
    """The object store, opened as the services open it, through the proxy."""
    monkeypatch.setattr(object_store, "CALL_TIMEOUT", CALL_TIMEOUT)
    settings = ObjectStoreSettings(
        s3_endpoint_url=proxy.url,
        staging_bucket=s3_environment["ONPOINT_STAGING_BUCKET"],
        lake_bucket=s3_environment["ONPOINT_LAKE_BUCKET"],
    )
    yield open_s3(settings, settings.staging_bucket)
    proxy.heal()


class Truth:
    """The real server, asked directly."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._bucket = environment["ONPOINT_STAGING_BUCKET"]
        self._s3 = boto3.client(
            "s3", endpoint_url=environment["ONPOINT_S3_ENDPOINT_URL"], region_name=environment["AWS_REGION"]
        )

    def read(self, key: str) -> bytes:
        data: bytes = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return data

    def write(self, key: str, data: bytes) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=data)

    def keys(self, prefix: str) -> list[str]:
        found = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=prefix)
        return [item["Key"] for item in found.get("Contents", ())]

    def open_uploads(self, key: str) -> list[dict[str, Any]]:
        found = self._s3.list_multipart_uploads(Bucket=self._bucket)
        return [upload for upload in found.get("Uploads", ()) if upload["Key"] == key]


@pytest.fixture
def truth(s3_environment: dict[str, str]) -> Truth:
    return Truth(s3_environment)


async def again_until_done(act: Callable[[], Awaitable[None]]) -> int:
    """Tries again after an outage and after nothing else, as the bus does. Returns the number of failures."""
    for failed in range(TRIES):
        try:
            await act()
        except StorageUnavailableError:
            continue
        return failed
    pytest.fail(f"still unavailable after {TRIES} tries")


CASES = [
    pytest.param(call, fault, size, id=f"{call}, {fault}, {size} bytes")
    for call in CALLS
    for fault in FAULTS
    for size in SIZES[call]
]


async def sweep_uploads(environment: dict[str, str]) -> None:
    """What the sweep does with uploads that are older than a day, at once."""
    settings = ObjectStoreSettings(
        s3_endpoint_url=environment["ONPOINT_S3_ENDPOINT_URL"],
        staging_bucket=environment["ONPOINT_STAGING_BUCKET"],
        lake_bucket=environment["ONPOINT_LAKE_BUCKET"],
    )
    async with S3Uploads(settings) as uploads:
        async for upload in uploads.open_before(datetime.now(UTC)):
            if upload.key.startswith("s3-faults-"):
                await uploads.abort(upload)


def test_there_are_ninety_cases() -> None:
    assert len(CASES) == 90


@pytest.mark.parametrize(("call", "fault", "size"), CASES)
async def test_the_content_is_right_after_any_fault_of_any_call(
    call: Call,
    fault: Fault,
    size: int,
    s3_environment: dict[str, str],
    proxy: S3FaultProxy,
    store: ObjectStore,
    truth: Truth,
    tmp_path: Path,
) -> None:
    prefix = f"s3-faults-{uuid.uuid4().hex}/"
    key, data = prefix + "object", os.urandom(size)
    file = tmp_path / "data"
    if call == "Get":
        await asyncio.to_thread(truth.write, key, data)
        digest = hashlib.sha256(data).hexdigest()

        async def act() -> None:
            await store.download(key, file, size=size, sha256=digest)

    else:
        file.write_bytes(data)

        async def act() -> None:
            await store.put(key, file)

    proxy.fail(call, fault, 1 if (call, fault) in CORRUPT else FAULTS_IN_A_ROW)
    await again_until_done(act)

    assert proxy.broken
    assert file.read_bytes() == data
    assert await asyncio.to_thread(truth.read, key) == data
    assert await asyncio.to_thread(truth.keys, prefix) == [key]
    left = await asyncio.to_thread(truth.open_uploads, key)
    assert len(left) == (proxy.broken if (call, fault) in UNKNOWN_UPLOADS else 0)
    await sweep_uploads(s3_environment)
    assert await asyncio.to_thread(truth.open_uploads, key) == []


@pytest.mark.parametrize("fault", FAULTS)
async def test_the_first_writer_wins_after_any_fault_of_its_put(
    fault: Fault, proxy: S3FaultProxy, store: ObjectStore, truth: Truth
) -> None:
    """`create` may report that the object was there before when an earlier try of its own made it: what counts is
    that the winner can be read, and that it is the one that wrote first.
    """
    key = f"s3-faults-{uuid.uuid4().hex}/manifest"
    proxy.fail("Put", fault, FAULTS_IN_A_ROW)

    async def act() -> None:
        await store.create(key, b"first")

    await again_until_done(act)
    assert proxy.broken
    proxy.heal()
    assert not await store.create(key, b"second")
    assert await store.get(key) == b"first"
    assert await asyncio.to_thread(truth.read, key) == b"first"


@pytest.mark.parametrize("times", [1, 2, 4, FAULTS_IN_A_ROW])
async def test_a_writer_whose_replies_are_lost_does_not_lose_to_itself(
    times: int, proxy: S3FaultProxy, store: ObjectStore
) -> None:
    key = f"s3-faults-{uuid.uuid4().hex}/manifest"
    proxy.fail("Put", "reply lost", times)

    async def act() -> None:
        await store.create(key, b"mine")

    await again_until_done(act)
    assert await store.get(key) == b"mine"


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_small_object_is_read_right_or_not_at_all(
    fault: Fault, proxy: S3FaultProxy, store: ObjectStore, truth: Truth
) -> None:
    """Manifests and plans are read whole, without a hash."""
    if fault == "200 with an error":
        pytest.skip("S3 answers so on Complete and Copy only; a reader of JSON refuses it")
    key = f"s3-faults-{uuid.uuid4().hex}/plan.json"
    data = b'{"a": 1}' * 500
    await asyncio.to_thread(truth.write, key, data)
    proxy.fail("Get", fault, FAULTS_IN_A_ROW)

    async def act() -> None:
        assert await store.get(key) == data

    await again_until_done(act)
    assert proxy.broken


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_an_upload_whose_last_reply_is_lost_is_done_or_done_again(
    times: int, proxy: S3FaultProxy, store: ObjectStore, truth: Truth, tmp_path: Path
) -> None:
    """The client's own retry asks for the end of an upload that has ended: that is not a missing object."""
    key = f"s3-faults-{uuid.uuid4().hex}/object"
    data = os.urandom(9 * 2**20)
    (tmp_path / "data").write_bytes(data)
    proxy.fail("CompleteMultipartUpload", "reply lost", times)

    async def act() -> None:
        await store.put(key, tmp_path / "data")

    await again_until_done(act)
    assert await asyncio.to_thread(truth.read, key) == data
    assert await asyncio.to_thread(truth.open_uploads, key) == []


async def test_an_object_that_is_wrong_each_time_is_never_used(
    proxy: S3FaultProxy, store: ObjectStore, truth: Truth, tmp_path: Path
) -> None:
    key, data = f"s3-faults-{uuid.uuid4().hex}/object", os.urandom(1000)
    await asyncio.to_thread(truth.write, key, data)
    proxy.fail("Get", "200 with an error", 100)
    with pytest.raises(ChecksumError):
        await store.download(key, tmp_path / "data", size=1000, sha256=hashlib.sha256(data).hexdigest())
