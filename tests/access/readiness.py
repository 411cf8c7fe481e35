"""What a service says of itself over HTTP."""

import asyncio

import aiohttp

from deploy.local.ports import HOST


async def problem_of(port: int, part: str, within_s: float) -> str:
    """What /readyz says, once it has that part."""
    said = ""
    async with aiohttp.ClientSession() as client:
        try:
            async with asyncio.timeout(within_s):
                while True:
                    async with client.get(f"http://{HOST}:{port}/readyz") as answer:
                        said = await answer.text()
                    if part in said and answer.status == 503:
                        return said
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"/readyz does not name {part!r}: {said}") from None


async def ready(port: int, within_s: float) -> None:
    async with asyncio.timeout(within_s), aiohttp.ClientSession() as client:
        while True:
            async with client.get(f"http://{HOST}:{port}/readyz") as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.2)
