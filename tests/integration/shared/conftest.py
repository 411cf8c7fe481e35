import pytest

from tests.support.bus import Topics


@pytest.fixture
async def topics(kafka_servers: str) -> Topics:
    made = Topics(kafka_servers)
    await made.create()
    return made
