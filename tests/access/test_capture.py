"""Change capture on a broker with ACLs: Connect, its sink and the command line as users of their own."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import asyncpg
import pytest

from deploy.local.stack import LocalStack
from tests.access.connect import ConnectWorker
from tests.access.installation import Installation
from tests.support.cdc import POSTS
from tests.support.operator import CommandResult
from tests.support.service_processes import ServiceProcesses

pytestmark = [pytest.mark.access, pytest.mark.timeout(400)]

TABLE = "onpoint_posts"
REFUSED = "AuthorizationException"


@dataclass
class Captured:
    installation: Installation
    connect: ConnectWorker
    dsn: str = field(repr=False)

    async def onpoint(self, *words: str) -> CommandResult:
        return await self.installation.onpoint("operator", *words, more=self.connect.environment())

    async def write(self, rows: int, run: str) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(POSTS, rows, run)
        finally:
            await connection.close()

    async def is_equal(self) -> bool:
        found = await self.onpoint("cdc", "verify", TABLE, "--json", "--timeout", "120")
        assert found.out, found.err
        return bool(json.loads(found.out)["equal"])


@pytest.fixture(scope="module")
async def captured(
    installation: Installation, components: LocalStack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Captured]:
    folder = tmp_path_factory.mktemp("capture")
    migrated = await installation.onpoint("operator", "migrate")
    assert migrated.code == 0, migrated.err
    dsn = components.environment()["ONPOINT_POSTGRES_DSN"]
    async with ConnectWorker(installation.broker, folder) as connect:
        with ServiceProcesses(components, folder) as processes:
            settings = {
                **installation.environment("cdc"),
                "ONPOINT_CDC_MAX_AGE_S": "2",
                "ONPOINT_HTTP_PORT": "0",
            }
            sink = processes.start("s3sink-cdc", **settings)
            await sink.ready()
            found = Captured(installation, connect, dsn)
            registered = await found.onpoint("cdc", "register", TABLE)
            assert registered.code == 0, registered.err + connect.log()[-3000:]
            yield found
            await found.onpoint("cdc", "remove")


async def test_changes_reach_the_lake(captured: Captured) -> None:
    await captured.write(500, "run-1")

    assert await captured.is_equal()


async def test_no_client_of_connect_was_refused_anything(captured: Captured) -> None:
    assert [line for line in captured.connect.log().splitlines() if REFUSED in line] == []
