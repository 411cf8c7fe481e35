"""What the sweep asks of the real servers: open uploads of S3."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aioboto3
import pytest

from shared.settings.object_store import ObjectStoreSettings
from shared.storage.errors import StorageUnavailableError
from shared.storage.object_store import open_memory, open_s3
from shared.sweep.ports import Upload
from shared.sweep.sweep import Sweep
from shared.sweep.uploads import S3Uploads
from tests.unit.shared.test_sweep import FakeRuns

pytestmark = pytest.mark.integration

PART = b"x" * (5 * 2**20)


@pytest.fixture
def storage(s3_environment: dict[str, str]) -> ObjectStoreSettings:
    return ObjectStoreSettings(
        s3_endpoint_url=s3_environment["ONPOINT_S3_ENDPOINT_URL"],
        staging_bucket=s3_environment["ONPOINT_STAGING_BUCKET"],
        lake_bucket=s3_environment["ONPOINT_LAKE_BUCKET"],
    )


@pytest.fixture
async def client(storage: ObjectStoreSettings) -> AsyncIterator[Any]:
    session = aioboto3.Session()
    async with session.client("s3", endpoint_url=storage.s3_endpoint_url, region_name="us-east-1") as client:
        yield client


async def leave_open(client: Any, bucket: str, key: str) -> str:
    begun = await client.create_multipart_upload(Bucket=bucket, Key=key)
    await client.upload_part(Bucket=bucket, Key=key, UploadId=begun["UploadId"], PartNumber=1, Body=PART)
    return str(begun["UploadId"])


async def found(uploads: S3Uploads, moment: datetime) -> list[Upload]:
    return [upload async for upload in uploads.open_before(moment)]


async def test_an_upload_that_was_left_open_is_found_in_either_bucket_and_aborted_by_the_sweep(
    storage: ObjectStoreSettings, client: Any
) -> None:
    key = f"posts/{uuid.uuid4().hex}"
    began = datetime.now(UTC)
    for bucket in (storage.staging_bucket, storage.lake_bucket):
        await leave_open(client, bucket, key)
    async with S3Uploads(storage) as uploads:
        assert not [
            upload for upload in await found(uploads, began - timedelta(hours=1)) if upload.key == key
        ]
        open_now = [
            upload for upload in await found(uploads, began + timedelta(hours=1)) if upload.key == key
        ]
        assert [(upload.bucket, upload.bytes) for upload in open_now] == [
            (storage.staging_bucket, len(PART)),
            (storage.lake_bucket, len(PART)),
        ]
        tomorrow = datetime.now(UTC) + timedelta(hours=25)
        # Only the uploads: the buckets' objects are other tests'.
        report = await Sweep(open_memory(), open_memory(), FakeRuns(), uploads, now=tomorrow).run()
        assert report.removed["uploads"].count >= 2
        assert report.removed["uploads"].bytes >= 2 * len(PART)
        assert not [upload for upload in await found(uploads, tomorrow) if upload.key == key]
        await uploads.abort(open_now[0])


async def test_folders_are_told_by_the_store_itself(storage: ObjectStoreSettings) -> None:
    lake, name = open_s3(storage, storage.lake_bucket), f"f{uuid.uuid4().hex[:12]}"
    await asyncio.gather(*(lake.put(f"{name}/{folder}/1", b"x") for folder in ("b", "a")))
    assert name in await lake.folders()
    assert await lake.folders(f"{name}/") == ["a", "b"]
    assert await lake.folders(f"{name}/nothing/") == []


async def test_a_store_that_is_away_is_an_outage(storage: ObjectStoreSettings) -> None:
    away = storage.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:9"})
    async with S3Uploads(away) as uploads:
        with pytest.raises(StorageUnavailableError):
            await found(uploads, datetime.now(UTC))
