"""Some workers that share what is to be done."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


async def run_workers(count: int, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Until all of them are done. The first error ends the others, and is raised as it is."""
    tasks = [asyncio.create_task(work()) for _ in range(count)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
