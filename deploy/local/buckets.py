"""Makes the stack's two buckets: `python -m deploy.local.buckets`, settings from the environment."""

import asyncio
import os
import time

import aioboto3
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError

DEADLINE_S = 60.0
RETRY_S = 0.1
ALREADY_OURS = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})


async def make_buckets(names: list[str], endpoint_url: str) -> None:
    """Make the buckets that do not exist yet; waits up to a minute for the store to answer.

    Raises what the store answers if it refuses, e.g. for wrong credentials.
    """
    config = AioConfig(
        connect_timeout=2,
        read_timeout=10,
        retries={"mode": "standard", "max_attempts": 1},
        s3={"addressing_style": "path"},
    )
    deadline = time.monotonic() + DEADLINE_S
    async with aioboto3.Session().client("s3", endpoint_url=endpoint_url, config=config) as client:
        for name in names:
            while True:
                try:
                    await client.create_bucket(Bucket=name)
                except ClientError as error:
                    code = error.response["Error"]["Code"]
                    if code in ALREADY_OURS:
                        break
                    if (
                        error.response["ResponseMetadata"]["HTTPStatusCode"] < 500
                        or time.monotonic() > deadline
                    ):  # noqa: PLR2004
                        raise
                except BotoCoreError:
                    if time.monotonic() > deadline:
                        raise
                else:
                    break
                await asyncio.sleep(RETRY_S)


def main() -> None:
    """Entry of the child process."""
    names = [os.environ["ONPOINT_STAGING_BUCKET"], os.environ["ONPOINT_LAKE_BUCKET"]]
    asyncio.run(make_buckets(names, os.environ["ONPOINT_S3_ENDPOINT_URL"]))


if __name__ == "__main__":
    main()
