import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from shared.bus import publisher as module
from shared.bus.publisher import Publisher
from tests.support.bus import plain_kafka


async def test_a_client_that_never_answers_is_reported_as_an_unreachable_broker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As one that is closed while the monitor waits for it: a producer was replaced."""
    monkeypatch.setattr(module, "MONITOR_TIMEOUT_S", 0.05)
    publisher = Publisher(plain_kafka("127.0.0.1:1"), "quality")
    silent: Any = SimpleNamespace(client=SimpleNamespace(force_metadata_update=asyncio.Future))
    monkeypatch.setattr(publisher, "_producer", silent)
    monitor = asyncio.create_task(publisher._watch_broker())  # noqa: SLF001 - what `start` runs
    async with asyncio.timeout(5):
        while publisher.unreachable_since is None:
            await asyncio.sleep(0.01)
    monitor.cancel()
