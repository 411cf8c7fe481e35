import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from console.client import kafka
from console.client.errors import ClientError
from tests.support.bus import plain_kafka

pytestmark = pytest.mark.integration


@pytest.fixture
async def silent_server() -> AsyncIterator[str]:
    """Takes connections and never answers: a broker that hangs, or something that is not a broker."""

    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(ignore, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "PUBLISH_TIMEOUT_S", 1.0)


async def test_a_request_to_a_broker_that_hangs_ends_in_time(silent_server: str) -> None:
    began_s = time.monotonic()
    with pytest.raises(ClientError, match="did not answer within 1 s"):
        await kafka.publish_request(plain_kafka(silent_server), "r1", b"{}")

    assert time.monotonic() - began_s < 5


async def test_a_broker_that_hangs_ends_the_wait_for_the_end_of_the_topic_too(silent_server: str) -> None:
    with pytest.raises(ClientError, match="did not answer within 1 s"):
        async with kafka.open_completions(plain_kafka(silent_server)):
            pass


async def test_a_request_that_the_broker_would_refuse_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ClientError, match="1,000,001 bytes, 1,000,000 at most"):
        await kafka.publish_request(plain_kafka("127.0.0.1:1"), "r1", b"x" * 1_000_001)


async def test_a_missing_topic_is_told_at_once_with_the_way_to_make_it(
    kafka_servers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "PUBLISH_TIMEOUT_S", 20.0)
    monkeypatch.setattr(kafka, "RUN_COMPLETED", "no.such.topic")
    monkeypatch.setattr(kafka, "CRAWL_REQUESTED", "no.such.topic")
    with pytest.raises(ClientError, match=r"no topic no\.such\.topic: run `onpoint topics apply`"):
        async with kafka.open_completions(plain_kafka(kafka_servers)):
            pass
    with pytest.raises(ClientError, match=r"no topic no\.such\.topic: run `onpoint topics apply`"):
        await kafka.publish_request(plain_kafka(kafka_servers), "r1", b"{}")
