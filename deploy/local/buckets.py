"""Makes the stack's two buckets: `python -m deploy.local.buckets`, settings from the environment."""

import asyncio
import os
from urllib.parse import urlsplit

import aioboto3
from botocore.config import Config
from botocore.exceptions import ClientError

from deploy.local.probes import http_is_ok

STORE_WAIT_S = 60.0
POLL_S = 0.1
ALREADY_OURS = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})


async def make_buckets(names: list[str], endpoint_url: str) -> None:
    """Make the buckets that do not exist yet.

    Raises `TimeoutError` if the store does not answer within a minute, `ClientError` if it refuses.
    """
    # The client loads its libraries while the store still starts.
    retries = Config(retries={"mode": "standard", "max_attempts": 5}, s3={"addressing_style": "path"})
    async with aioboto3.Session().client("s3", endpoint_url=endpoint_url, config=retries) as client:
        await _wait_for_store(urlsplit(endpoint_url).port or 80)
        for name in names:
            try:
                await client.create_bucket(Bucket=name)
            except ClientError as error:
                if error.response["Error"]["Code"] not in ALREADY_OURS:
                    raise


async def _wait_for_store(port: int) -> None:
    async with asyncio.timeout(STORE_WAIT_S):
        while not await http_is_ok(port, "/healthz"):  # noqa: ASYNC110  (another's state)
            await asyncio.sleep(POLL_S)


def main() -> None:
    """Entry of the child process."""
    names = [os.environ["ONPOINT_STAGING_BUCKET"], os.environ["ONPOINT_LAKE_BUCKET"]]
    asyncio.run(make_buckets(names, os.environ["ONPOINT_S3_ENDPOINT_URL"]))


if __name__ == "__main__":
    main()
