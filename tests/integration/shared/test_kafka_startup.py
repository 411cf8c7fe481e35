"""A service whose Kafka is away starts when it comes."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.support.lone_service import LoneService

pytestmark = pytest.mark.integration


async def test_a_service_that_waits_for_kafka_is_alive_and_says_so(tmp_path: Path) -> None:
    with LoneService("processor", tmp_path / "log") as service:
        async with asyncio.timeout(30):
            while "waiting_for_kafka" not in service.log():
                await asyncio.sleep(0.05)
        assert await service.answer("/readyz", "starting") == (503, "starting\nwaiting for Kafka")
        assert await service.answer("/livez", "ok") == (200, "ok")
        service.send(signal.SIGTERM)
        assert await service.exited() == 0
