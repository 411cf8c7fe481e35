"""Makes the two buckets of a store that lets its clients make some: `python -m deploy.compose.buckets`."""

import asyncio

import aioboto3
from botocore.config import Config
from botocore.exceptions import ClientError

from deploy.local.buckets import ALREADY_OURS
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings

PATIENT = Config(retries={"mode": "standard", "max_attempts": 8}, s3={"addressing_style": "path"})


async def make_buckets(settings: ObjectStoreSettings) -> None:
    """Idempotent. Raises `ClientError` if the store refuses."""
    key_id, secret = settings.s3_keys() or (None, None)
    async with aioboto3.Session().client(
        "s3",
        endpoint_url=settings.s3_endpoint_url,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=PATIENT,
    ) as client:
        for name in (settings.staging_bucket, settings.lake_bucket):
            try:
                await client.create_bucket(Bucket=name)
            except ClientError as error:
                if error.response["Error"]["Code"] not in ALREADY_OURS:
                    raise


def main() -> None:
    asyncio.run(make_buckets(load_settings(ObjectStoreSettings)))


if __name__ == "__main__":
    main()
