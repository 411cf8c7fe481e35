"""The tests' source as a program, for a container beside the pipeline: `python -m tests.compose.serve_records`."""

import asyncio

from tests.support.records import load_test_data
from tests.support.source import SourceServer

PORT = 8000
DELAY_S = 0.02
"""Of each answer: long enough for something to happen in the middle of a run."""


async def main() -> None:
    records = load_test_data().records
    async with SourceServer(records, host="0.0.0.0", port=PORT, delay_s=DELAY_S):  # noqa: S104 - other containers
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
