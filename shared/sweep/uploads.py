"""Multipart uploads that were left open, by S3's own API: obstore does not list them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, Self

import aioboto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError

from shared.settings.object_store import ObjectStoreSettings
from shared.storage.errors import StorageUnavailableError
from shared.storage.outages import CREDENTIALS
from shared.sweep.ports import Upload


class S3Uploads:
    """Of both buckets. An async context manager; raises `StorageUnavailableError` when the store does not answer."""

    def __init__(self, settings: ObjectStoreSettings) -> None:
        self._settings = settings
        self._resources = AsyncExitStack()
        self._client: Any = None

    async def __aenter__(self) -> Self:
        settings, session = self._settings, aioboto3.Session()
        key_id, secret = settings.s3_keys() or (None, None)
        client = session.client(
            "s3",
            endpoint_url=settings.s3_endpoint_url,
            # Some region must be named even where the server knows none.
            region_name=session.region_name or "us-east-1",
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
            config=Config(
                connect_timeout=5,
                read_timeout=60,
                retries={"mode": "standard", "max_attempts": 3},
                s3={"addressing_style": "auto" if settings.s3_endpoint_url is None else "path"},
            ),
        )
        with _translated():
            self._client = await self._resources.enter_async_context(client)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._resources.aclose()

    async def open_before(self, moment: datetime) -> AsyncIterator[Upload]:
        """The uploads begun before, in pages. One request more for each of them: its parts."""
        with _translated():
            pages = self._client.get_paginator("list_multipart_uploads")
            for bucket in (self._settings.staging_bucket, self._settings.lake_bucket):
                async for page in pages.paginate(Bucket=bucket):
                    for found in page.get("Uploads", ()):
                        begun_at = found["Initiated"].astimezone(UTC)
                        if begun_at <= moment:
                            size = await self._size(bucket, found["Key"], found["UploadId"])
                            yield Upload(bucket, found["Key"], found["UploadId"], begun_at, size)

    async def abort(self, upload: Upload) -> None:
        with _translated():
            try:
                await self._client.abort_multipart_upload(
                    Bucket=upload.bucket, Key=upload.key, UploadId=upload.upload_id
                )
            except self._client.exceptions.NoSuchUpload:
                return

    async def _size(self, bucket: str, key: str, upload_id: str) -> int:
        pages = self._client.get_paginator("list_parts")
        size = 0
        try:
            async for page in pages.paginate(Bucket=bucket, Key=key, UploadId=upload_id):
                size += sum(part["Size"] for part in page.get("Parts", ()))
        except self._client.exceptions.NoSuchUpload:
            return 0
        return size


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError, OSError, TimeoutError) as error:
        raise StorageUnavailableError(f"open uploads: {_error_text(error)}"[:500]) from error


def _error_text(error: Exception) -> str:
    """As `shared.storage.outages` for the other driver's errors."""
    if isinstance(error, EndpointConnectionError):
        return f"the object store does not answer at {error.kwargs['endpoint_url']}"
    if isinstance(error, ClientError):
        found = error.response.get("Error", {})
        code, status = found.get("Code"), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if code == "NoSuchBucket":
            return f"the object store has no bucket {found.get('BucketName', '')}".rstrip()
        if status in {401, 403}:
            return f"the object store refused the credentials ({status}, {code}): see {CREDENTIALS}"
    return str(error)
