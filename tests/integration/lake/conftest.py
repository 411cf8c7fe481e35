"""Compaction on a real database and a real S3 server."""

import uuid
from collections.abc import AsyncIterator

import asyncpg
import boto3
import pytest

from shared.postgres.pool import open_pool
from shared.settings.object_store import ObjectStoreSettings
from shared.settings.postgres import PostgresSettings
from shared.storage.object_store import open_s3
from tests.support.lake import Lake


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[asyncpg.Pool]:
    settings = PostgresSettings.model_validate({"postgres_dsn": postgres_dsn, "postgres_pool_size": 8})
    async with await open_pool(settings) as pool:
        yield pool


@pytest.fixture(scope="session")
def storage(s3_environment: dict[str, str]) -> ObjectStoreSettings:
    """Buckets of these tests: the server has room for few."""
    name = uuid.uuid4().hex[:12]
    settings = ObjectStoreSettings(
        s3_endpoint_url=s3_environment["ONPOINT_S3_ENDPOINT_URL"],
        staging_bucket=f"staging-{name}",
        lake_bucket=f"lake-{name}",
    )
    client = boto3.client("s3", endpoint_url=settings.s3_endpoint_url, region_name="us-east-1")
    for bucket in (settings.staging_bucket, settings.lake_bucket):
        client.create_bucket(Bucket=bucket)
    return settings


@pytest.fixture
async def lake(pool: asyncpg.Pool, storage: ObjectStoreSettings) -> Lake:
    staging, lake = (open_s3(storage, bucket) for bucket in (storage.staging_bucket, storage.lake_bucket))
    for store in (staging, lake):
        for key in [info.key async for info in store.list("")]:
            await store.delete(key)
    return Lake(pool, staging, lake)
